"""docs/wire.md against what two boards and a hub say to each other."""

import re

from tools.paths import ROOT
from tools.wire.capture import CLOUDS, capture
from tools.wire.message import parsed

BLOCK = re.compile(r"^```wire (\w+)\n(.*?)^```$", re.M | re.S)


def test_each_message_in_the_document_is_one_that_goes_over_the_wire() -> None:
    told = {cloud: parsed(cloud, text) for cloud, text in BLOCK.findall((ROOT / "docs" / "wire.md").read_text())}
    assert tuple(told) == CLOUDS
    seen = {(message.cloud, message.shape()) for message in capture()}
    wrong = [f"{cloud}: {message.shape()}" for cloud in CLOUDS for message in told[cloud] if (cloud, message.shape()) not in seen]
    assert not wrong, "\n".join(wrong)
    assert all(len(messages) >= 4 for messages in told.values())
    # and none of the usual ones is left out
    known = {(cloud, message.shape()[:2]) for cloud, messages in told.items() for message in messages}
    missing = {(cloud, shape[:2]) for cloud, shape in seen if cloud in ("mqtt", "kura")} - known
    assert not missing, missing


def test_what_is_printed_is_read_again_and_a_key_is_cut_short() -> None:
    text = '→ v1/device/968f1e8b…/telemetry  device_id=968f1e8b…  message_id=0220400241\n  {"status": "online"}\n'
    text += "← 206 to GET /file\n  512 bytes\n"
    first, second = parsed("mqtt", text)
    assert "\n".join([*first.lines(), *second.lines()]) + "\n" == text
    assert first.shape() == ("→", "v1/device/ID/telemetry", ("device_id", "message_id"), ("status=online",))
    assert second.shape()[1] == "206 to GET /file"
