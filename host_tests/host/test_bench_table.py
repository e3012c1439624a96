"""What is made of build/bench.json: Markdown and plots."""

import argparse
from pathlib import Path

import pytest

from tools.bench import agent, everything, growth, layouts, results, table, tables
from tools.bench.program import ProgramError
from tools.bench.results import Figure, Results


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Some of three measurements."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "bench.json")
    clients = Results("mqtt")
    clients.add("Redpoll, window of 16", "rate, Mosquitto, QoS 1", "messages/s", 30_000, 33_000, 31_000)
    clients.add("umqtt.simple 1.3.4", "rate, Mosquitto, QoS 1", "messages/s", 22.7)
    clients.add("chumicro-mqtt 0.30.3", "rate, Mosquitto, QoS 1", "messages/s", note="fails")
    clients.add("bare loop, window of 16", "rate, Mosquitto, QoS 1", "messages/s", 50_000)
    clients.save()
    whole = Results("agent")
    whole.add(agent.MQTT, agent.IDLE, "% of a core", 0.0152)
    whole.add(agent.HTTP, agent.BACK, "s", note="needs no broker")
    whole.save()
    grown = Results("growth")
    for number in (1, 10):
        grown.add(growth.name(growth.KEYS, number), "live heap then", "bytes", 1000 * number, 1200 * number)
    grown.add(growth.name(growth.KEYS, 1000), "live heap then", "bytes", note="not delivered")
    grown.add(growth.name(growth.SENSORS, 1), "live heap", "bytes", 5)
    grown.save()
    return results.read()


def test_the_comparison_sets_redpoll_beside_others_and_the_limit_with_the_command(figures: list[Figure]) -> None:
    lines = tables.comparison(figures)
    rate = next(line for line in lines if "rate at QoS 1" in line)
    assert "31,000 (30,000-33,000)" in rate and "umqtt.simple 1.3.4: 22.7" in rate and "chumicro-mqtt 0.30.3: fails" in rate
    assert "| 50,000 |" in rate and rate.endswith("| `redpoll bench mqtt` |")
    assert not any("smallest heap" in line for line in lines)  # it was not measured


def test_a_smallest_heap_says_on_which_vm_it_was_found() -> None:
    titles = [comparison.title for comparison in layouts.COMPARISONS if "smallest heap" in comparison.figure]
    assert titles and all("-bit VM" in title for title in titles)


def test_a_table_has_a_line_for_each_name_of_its_own_and_says_why_a_figure_is_missing(figures: list[Figure]) -> None:
    layout = next(layout for layout in layouts.LAYOUTS if layout.prefix == growth.KEYS)
    assert tables.table(layout, figures) == [
        "| configuration keys | live heap then, bytes |",
        "| --- | ---: |",
        "| 1 | 1,100 (1,000-1,200) |",
        "| 10 | 11,000 (10,000-12,000) |",
        "| 1,000 | not delivered |",
    ]


def test_a_table_and_the_comparison_say_where_runs_failed(figures: list[Figure]) -> None:
    again = Results("mqtt")
    again.add("umqtt.simple 1.3.4", "rate, Mosquitto, QoS 1", "messages/s", 22.5, 22.7, failed=1)
    again.save()
    layout = next(layout for layout in layouts.LAYOUTS if layout.title == "MQTT clients, QoS 1")
    assert "| umqtt.simple 1.3.4 | 22.6 (22.5-22.7, 2 of 3 runs) |" in tables.table(layout, results.read())
    assert "umqtt.simple 1.3.4: 22.6 (22.5-22.7, 2 of 3 runs); " in "\n".join(tables.comparison(results.read()))


def test_figures_may_be_the_lines_and_names_the_columns(figures: list[Figure]) -> None:
    layout = next(layout for layout in layouts.LAYOUTS if layout.bench == "agent")
    assert tables.table(layout, figures) == [
        f"|  | {agent.MQTT} | {agent.HTTP} |",
        "| --- | ---: | ---: |",
        "| idle CPU, % of a core | 0.0152 | – |",
        "| back after the broker, s | – | needs no broker |",
    ]


def test_the_document_names_the_machine_and_leaves_out_what_was_not_measured(figures: list[Figure]) -> None:
    text = tables.document(figures)
    for layout in (layout for layout in layouts.LAYOUTS if layout.bench == "agent"):
        assert f"\n`{layout.command}`\n\n{layout.note.strip()}\n\n|" in text
    assert results.machine() in text and "## MQTT clients, QoS 1" in text and "## The hub" not in text


def test_a_part_of_a_document_is_replaced_between_its_marks_only(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    assert table.put_between_marks(document, ["| new |"])
    assert document.read_text() == "before\n<!-- figures: begin -->\n\n| new |\n\n<!-- figures: end -->\nafter\n"
    document.write_text("no marks\n")
    assert not table.put_between_marks(document, ["| new |"])
    assert document.read_text() == "no marks\n"


def test_without_figures_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "bench.json")
    assert table.run(argparse.Namespace(write=False)) == 2
    assert "make bench" in capsys.readouterr().err


@pytest.mark.parametrize(("ended", "status"), [(0, 0), (1, 1), (2, 0), (ProgramError("it ended"), 1)])
def test_all_measurements_are_made_though_one_fails(
    ended: int | Exception, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "bench.json")
    (tmp_path / "bench.json").write_text("[]")
    made = []

    def measure(name: str) -> int:
        made.append(name)
        if name == "hub" and isinstance(ended, Exception):
            raise ended
        return ended if name == "hub" and isinstance(ended, int) else 0

    monkeypatch.setattr(everything, "measure", measure)
    assert everything.run(argparse.Namespace(only=["hub", "wear"])) == status
    assert made == ["hub", "wear"] and not (tmp_path / "bench.json").exists()
    assert ("redpoll bench hub" in capsys.readouterr().err) == (ended != 0)


def test_plots_come_out_the_same_from_the_same_figures(figures: list[Figure], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (make figures installs it)")
    from tools.bench import plots

    drawn = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        drawn.append({path.name: path.read_bytes() for path in plots.write(figures, folder)})
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {"growth-keys.svg", "growth-sensors.svg"}
    assert b">refused<" in drawn[0]["growth-keys.svg"]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.0312, "0.0312"), (4.266, "4.27"), (38.12, "38.1"), (1204.4, "1,204"), (9.0, "9")])
def test_a_number_has_as_many_digits_as_matter(value: float, text: str) -> None:
    assert results.number(value) == text
