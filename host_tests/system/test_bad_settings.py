"""What a person sees on the board's console when its settings are wrong."""

from collections.abc import Callable

import pytest

from tools.board.process import Board


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"entry": "https://entry', "Was the file cut off"),
        (b"[]", "must be a JSON object"),
        (b"{}", '"entry" must be an https:// or http:// URL, not missing'),
        (b'{"entry": "xyte", "sn": "A"}', "\"entry\" must be an https:// or http:// URL, not 'xyte'"),
        (b'{"entry": "http://127.0.0.1:1", "sn": "A", "transport": "coap"}', '"transport" must be "mqtt" or "http"'),
    ],
)
def test_the_console_says_what_is_wrong_and_what_to_write(make_stopped_board: Callable[[], Board], text: bytes, words: str) -> None:
    board = make_stopped_board()
    board.write_file("settings.json", text)
    board.start()
    board.wait_for(r"SettingsError: settings.json", 20)
    assert any(words in line for line in board.lines)
