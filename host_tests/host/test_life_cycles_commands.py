"""Commands in any order of pushes, duplicates, lost reports, restarts and power cuts (DESIGN §3, commands)."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from life_cycles import FINAL, START, Cloud, DisturbedLife, Folder, PowerCut, Violation, explore, firmware, fw
from long_run import LONG

__all__ = ["firmware"]
INTERRUPTED = ("error", "interrupted by a restart")
RESTARTED = ("done", "restarted")
FULL = ("error", "not run: out of flash or memory")
REMEMBERED = 16
WAITING = 8

# a command of a kind that is no handler of the product: its name, its parameters beside "ident", words of the error
REFUSED: dict[str, tuple[str, Any, str]] = {
    "unknown": ("dance", {}, "no command 'dance'"),
    "no object": ("ok", None, "parameters must be an object"),
    "wrong name": ("ok", {"pace": 2}, "pace"),
    "out of bounds": ("bounded", {"step": 10}, "step must be a whole number from 1 to 9"),
    "expired": ("ok", {}, "it had expired"),
}
KINDS = st.sampled_from(["ok", "ok", "ok", "odd", "fail", "later", "restart", "cut", *REFUSED])
DAY = "2023-11-14T"  # of START, which is 22:13:20


class Product:
    """Handlers that know what they did, and so what the cloud may be told of each command."""

    def __init__(self, ledger_path: str) -> None:
        self.ledger_path = ledger_path
        self.runs: dict[str, int] = {}
        self.may_be_told: dict[str, set[tuple[str, str]]] = {}
        # what ended while the flash could not say so: after a restart it is told otherwise
        self.unsaved: set[str] = set()
        # the command whose handler returned LATER
        self.busy: str | None = None

    def handlers(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        self.busy = None
        plain = {name: (getattr(self, name), {}) for name in ("ok", "odd", "fail", "later", "restart", "cut")}
        return {**plain, "bounded": (self.bounded, {"ident": (str, 1, 64), "step": (int, 1, 9)})}

    def begin(self, ident: str) -> None:
        before, now = fw.switch.ledgers[self.ledger_path]
        if self.busy is not None:
            raise Violation(f"{ident} is run while {self.busy} is")
        if now[-1] != [ident, "in_progress", ""]:
            raise Violation(f"{ident} is run before it is in the ledger")
        # while the flash is full, what it holds is not what the device remembers
        if ident in self.runs and not fw.switch.failed and ident in [entry[0] for entry in before]:
            raise Violation(f"{ident} is run again though the ledger remembers it")
        self.runs[ident] = self.runs.get(ident, 0) + 1
        self.may_be_told[ident] = {INTERRUPTED}

    def ends(self, ident: str, status: str, message: str) -> None:
        """The handler is about to end so."""
        self.may_be_told[ident] = {(status, message)}
        if fw.switch.full or fw.switch.left is not None:
            self.may_be_told[ident].add(INTERRUPTED)
        if fw.switch.full:
            self.unsaved.add(ident)

    def ok(self, ident: str) -> str:
        self.begin(ident)
        self.ends(ident, "done", f"ok {ident}")
        return f"ok {ident}"

    def odd(self, ident: str) -> Any:
        self.begin(ident)
        self.ends(ident, "done", f"['{ident}', 1]")
        return [ident, 1]

    def fail(self, ident: str) -> None:
        self.begin(ident)
        self.ends(ident, "error", f"fail: no {ident}")
        raise ValueError(f"no {ident}")

    def later(self, ident: str) -> Any:
        self.begin(ident)
        self.busy = ident
        return fw.commands.LATER

    def restart(self, ident: str) -> Any:
        self.begin(ident)
        self.ends(ident, *RESTARTED)
        return fw.commands.RESTART

    def cut(self, ident: str) -> None:
        self.begin(ident)
        raise PowerCut

    def bounded(self, ident: str, step: int = 1) -> None:
        raise Violation(f"{ident}: its parameters were wrong")

    def finish(self, commands: Any) -> None:
        """What the handler began has ended."""
        ident, self.busy = self.busy, None
        if ident:
            self.ends(ident, "done", f"later {ident}")
            commands.finish("done", f"later {ident}")

    def check(self, cloud: Cloud, kinds: dict[str, str], disturbed: bool) -> None:
        """Every command has ended, and its end is what became of it. `disturbed`: there were cuts or a full flash at some time."""
        for ident, command in cloud.commands.items():
            told = (command["status"], command["message"])
            assert told[0] in FINAL, command
            if ident in self.runs:
                assert kinds[ident] not in REFUSED
                assert told in self.may_be_told[ident] or ident in self.unsaved, (command, self.may_be_told[ident])
            else:
                refused = told[0] == "error" and kinds[ident] in REFUSED and REFUSED[kinds[ident]][2] in told[1]
                assert refused or disturbed and told in (INTERRUPTED, FULL), command
        assert set(cloud.contradicted) <= self.unsaved


def queue(cloud: Cloud, ident: str, kind: str) -> dict[str, Any]:
    name, more, _ = REFUSED.get(kind, (kind, {}, ""))
    parameters = [ident] if more is None else {"ident": ident, **more}
    return cloud.queue(ident, name, parameters, DAY + "22:00:00Z" if kind == "expired" else None)


class CommandsLife(Folder):
    """Commands alone, and a cloud to which two lossy wires lead."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()
        self.kinds: dict[str, str] = {}
        self.product = Product(self.path("commands"))
        self.wire_down: list[dict[str, Any]] = []
        self.wire_up: list[tuple[str, str, str]] = []
        self.late: list[dict[str, Any]] = []
        self.disturbed = False
        self.boot()

    def boot(self) -> None:
        fw.switch.left = None
        # ids in the order in which they were accepted; the queue does not outlive a restart
        self.accepted: list[str] = []
        self.commands = fw.commands.Commands(self.path("commands"), self.report)
        for name, (handler, fields) in self.product.handlers().items():
            self.commands.add(name, handler, fields)

    def report(self, ident: str, status: str, message: str) -> None:
        self.wire_up.append((ident, status, message))
        if (status, message) == FULL:
            self.product.unsaved.add(ident)

    def down(self, command: dict[str, Any]) -> None:
        self.wire_down.append(dict(command))
        self.late.append(dict(command))

    @rule(kinds=st.lists(KINDS, min_size=1, max_size=6), at_once=st.booleans())
    def push(self, kinds: list[str], at_once: bool) -> None:
        for kind in kinds:
            ident = f"c{len(self.kinds)}"
            self.kinds[ident] = kind
            command = queue(self.cloud, ident, kind)
            if at_once or len(self.cloud.unfinished()) == 1:
                self.down(command)

    @rule()
    def snapshot(self) -> None:
        command = self.cloud.current()
        if command:
            self.down(command)

    @precondition(lambda self: self.wire_down)
    @rule(kinds=st.lists(KINDS, min_size=1, max_size=6), runs=st.integers(1, 8))
    def push_and_run(self, kinds: list[str], runs: int) -> None:
        self.push(kinds, True)
        self.live(0, 8, False, runs, 2)

    @rule(runs=st.integers(1, 8), taken=st.integers(0, 12))
    def all_goes_well(self, runs: int, taken: int) -> None:
        self.live(0, 8, False, runs, taken)

    @rule(first=st.integers(0, 3), arrive=st.integers(1, 8), again=st.booleans(), runs=st.integers(1, 8), taken=st.integers(0, 12))
    def live(self, first: int, arrive: int, again: bool, runs: int, taken: int) -> None:
        """Some of what is on the wire arrives, not always the oldest first and perhaps once more later; some of it is run and told."""
        for _ in range(arrive):
            at = min(first, len(self.wire_down) - 1)
            if at >= 0:
                self.offer(self.wire_down[at] if again else self.wire_down.pop(at))
        self.run(runs)
        self.cloud_takes(taken)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def deliver_a_late_one(self, data: Any) -> None:
        """A message of long ago comes again; one that the ledger has forgotten would be taken for new."""
        message = data.draw(st.sampled_from(self.late), "which")
        ledger = [entry[0] for entry in self.commands._ledger]
        if message["id"] in ledger or message["id"] not in self.product.runs:
            self.offer(message)

    def offer(self, message: dict[str, Any]) -> None:
        ident = message["id"]
        known = ident in [entry[0] for entry in self.commands._ledger] or ident in self.accepted
        reports = len(self.wire_up)
        self.commands.offer(ident, message["name"], message["parameters"], START if "expires_at" in message else None)
        if not known and len(self.accepted) < WAITING:
            self.accepted.append(ident)
        assert len(self.wire_up) == reports + (known and ident not in self.accepted)

    def run(self, times: int) -> None:
        for _ in range(times):
            if self.commands.pending():
                assert self.product.busy is None
                reports = len(self.wire_up)
                try:
                    self.commands.run_next(START + 1)
                except PowerCut:
                    self.disturbed = True
                    self.boot()
                    return
                assert self.wire_up[reports][0] == self.accepted.pop(0), "in order"

    @precondition(lambda self: self.product.busy)
    @rule()
    def finish(self) -> None:
        try:
            self.product.finish(self.commands)
        except PowerCut:
            self.disturbed = True
            self.boot()

    def cloud_takes(self, count: int) -> None:
        for _ in range(min(count, len(self.wire_up))):
            ident, status, message = self.wire_up.pop(0)
            self.cloud.report({"id": ident, "status": status, "message": message})

    @rule(
        what=st.sampled_from(["link", "snapshot", "snapshot", "restart", "full", "cut", "cut"]),
        saves=st.integers(1, 8),
        complete=st.booleans(),
    )
    def disturb(self, what: str, saves: int, complete: bool) -> None:
        fw.switch.full = what == "full"
        self.disturbed = self.disturbed or fw.switch.full
        if what == "cut":
            fw.switch.arm(saves, complete)
        if what in ("link", "restart"):
            self.wire_down.clear()
            self.wire_up.clear()
        if what == "restart":
            self.boot()
        command = self.cloud.current()
        if what in ("link", "snapshot") and command:
            self.commands.tell_decided()
            self.down(command)

    def at_the_end(self) -> None:
        for _ in range(3 * len(self.kinds) + 5):
            current = self.cloud.current()
            if self.commands.restart:
                self.boot()
            self.commands.tell_decided()
            self.finish()
            if current:
                self.offer(current)
            self.run(WAITING + 1)
            self.cloud_takes(1000)
        self.product.check(self.cloud, self.kinds, self.disturbed)

    @invariant()
    def nothing_grows(self) -> None:
        ids = [entry[0] for entry in self.commands._ledger]
        assert len(ids) == len(set(ids)) <= REMEMBERED
        assert len(self.commands._queue) <= WAITING


class AgentLife(DisturbedLife):
    """The whole agent with its transport."""

    kind = "commands"

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.disturbed = False
        self.product: Any = None
        super().__init__()

    def declare(self, agent: Any) -> None:
        self.product = self.product or Product(self.path("commands"))
        for name, (handler, fields) in self.product.handlers().items():
            agent.command(name, **fields)(handler)

    @rule(kinds=st.lists(KINDS, min_size=1, max_size=4), at_once=st.booleans())
    def push_commands(self, kinds: list[str], at_once: bool) -> None:
        for kind in kinds:
            ident = f"c{len(self.kinds)}"
            self.kinds[ident] = kind
            command = queue(self.cloud, ident, kind)
            if at_once or len(self.cloud.unfinished()) == 1:
                self.push("commands", command)

    def may_come_again(self, message: dict[str, Any]) -> bool:
        return message["id"] in [entry[0] for entry in self.agent.commands._ledger] or message["id"] not in self.product.runs

    @precondition(lambda self: self.product.busy)
    @rule()
    def finish(self) -> None:
        self.unless_cut(lambda: self.product.finish(self.agent.commands))

    @rule(full=st.booleans())
    def flash_fills(self, full: bool) -> None:
        fw.switch.full = full
        self.disturbed = self.disturbed or full

    def arm(self, saves: int, complete: bool) -> None:
        self.disturbed = True
        super().arm(saves, complete)

    def take(self, most: int = 1000) -> None:
        client = self.client()
        for topic, message, _ in client.published if client else []:
            if topic.endswith("/commands/update") and (message["status"], message["message"]) == FULL:
                self.product.unsaved.add(message["id"])
        super().take(most)

    def answer(self, method: str, path: str, body: Any) -> Any:
        if path.endswith("/command") and body and ("error", body["message"]) == FULL:
            self.product.unsaved.add(body["id"])
        return super().answer(method, path, body)

    def settled(self) -> bool:
        if self.product.busy:
            self.finish()
        return not self.cloud.unfinished()

    def at_the_end(self) -> None:
        self.settle(self.settled, 60 + 4 * len(self.kinds))
        self.product.check(self.cloud, self.kinds, self.disturbed)

    @invariant()
    def nothing_grows(self) -> None:
        ids = [entry[0] for entry in self.agent.commands._ledger]
        assert len(ids) == len(set(ids)) <= REMEMBERED
        assert len(self.agent.commands._queue) <= WAITING


class HTTPLife(AgentLife):
    transport = "http"


@pytest.mark.usefixtures("firmware")
@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize(("machine", "examples"), [(CommandsLife, 150), (AgentLife, 80), (HTTPLife, 80)])
def test_every_command_ends_and_none_runs_twice(machine: type[Folder], examples: int) -> None:
    explore(machine, examples)
