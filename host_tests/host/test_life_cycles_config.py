"""Configuration in any order of versions, refusals, local changes, trials, restarts and power cuts (DESIGN §3, config)."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from life_cycles import ENTRY, FIELDS, DisturbedLife, Folder, PowerCut, explore, firmware, fw
from long_run import LONG

__all__ = ["firmware"]

INTERVALS = st.sampled_from([5, 60, 3600, 61, 62])
LABELS = st.sampled_from(["", "a", "12345678", "bad"])  # "bad": the product refuses it
# values that a cloud may send, whether they pass the checks or not
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "interval": st.one_of(INTERVALS, st.sampled_from([4, 3601, "5", None, True, 1.5, [5]])),
        "label": st.one_of(LABELS, st.sampled_from(["123456789", 5])),
        "on": st.sampled_from([True, False, 1, 0, "true"]),
        "other": st.sampled_from([1, "x", {"a": [1]}, None, True]),
    },
)
GOOD = st.fixed_dictionaries(
    {"interval": INTERVALS}, optional={"label": st.sampled_from(["", "a"]), "other": st.sampled_from([1, {"a": [1]}])}
)
LOCAL = st.fixed_dictionaries({}, optional={"interval": INTERVALS, "label": st.sampled_from(["", "a", "b"]), "on": st.booleans()})
# what the cloud may change of the link; with "dead" nothing is reached, the rest is wrong or works
LINKS = st.sampled_from([
    {"keepalive": 30}, {"keepalive": 31}, {"transport": "http"}, {"transport": "mqtt"}, {"entry": "http://dead.example"},
    {"entry": "http://other.example"}, {}, {"keepalive": 0}, {"sn": "x"}, [1], None,
])  # fmt: skip


LIKELY = st.one_of(GOOD, GOOD, VALUES)


def fits(values: dict[str, Any]) -> bool:
    """The checks of FIELDS, told once more in other words."""
    interval, label, on = values.get("interval", 5), values.get("label", ""), values.get("on", True)
    return type(interval) is int and 5 <= interval <= 3600 and type(label) is str and len(label) <= 8 and type(on) is bool


def declared(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in FIELDS if name in values}


class Product:
    """Applies configurations, and refuses the label "bad"."""

    def __init__(self) -> None:
        # what the product works with
        self.now: dict[str, Any] = {}
        self.calls: list[dict[str, Any]] = []

    def apply(self, values: dict[str, Any]) -> None:
        assert fits(values), "it passed the checks"
        self.calls.append(dict(values))
        self.now = dict(values)
        if values.get("label") == "bad":
            raise ValueError("not this label")


class ConfigLife(Folder):
    """Config alone, beside a model of what has to be in force."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 0
        self.values: dict[str, Any] = {}
        self.before: dict[str, Any] | None = None
        # values of versions, so that a duplicate is one
        self.versions: dict[int, dict[str, Any]] = {}
        self.applied: set[int] = set()
        # what the cloud was told under this version; the device remembers the first of it, until a restart
        self.told: list[dict[str, Any]] = []
        self.untold = False
        self.boot()

    def boot(self) -> None:
        fw.switch.left = None
        self.product = Product()
        self.told = []
        self.config = fw.config.Config(self.path("config"))
        self.config.declare(self.product.apply, FIELDS)
        self.config.start()
        if self.before is not None:
            self.values, self.before = self.before, None
            self.untold = True
        # what a product has declared is in force again
        assert self.product.now == declared(self.values)

    def do(self, action: Any, version: int, values: dict[str, Any], before: dict[str, Any] | None) -> Any:
        """The action leads to this state, or the power is cut in it and it is that state or the one that was."""
        try:
            result = action()
        except PowerCut:
            self.reborn = True
            old = (self.version, self.values if self.before is None else self.before)
            new = (version, values if before is None else before)
            fw.switch.left = None
            config = fw.config.Config(self.path("config"))
            assert (config.version, config.values) in (old, new)
            self.version, self.values, self.before, self.untold = config.version, config.values, None, config.untold
            self.boot()
            return None
        if version != self.version:
            self.told = []
        self.reborn = False
        self.version, self.values, self.before = version, values, before
        return result

    @rule(ahead=st.integers(1, 3), values=LIKELY, trial=st.booleans(), refusal=st.sampled_from([None, None, None, None, "no"]))
    def offer(self, ahead: int, values: dict[str, Any], trial: bool, refusal: str | None) -> None:
        version = self.version + ahead
        self.versions[version] = values
        calls = len(self.product.calls)
        own = self.config.untold and values in self.told and values != self.values
        same = values == self.values or own
        if not same and self.before is not None:
            del self.versions[version]
            assert self.config.offer(version, dict(values), refusal, trial) is None, "it waits for the end of the trial"
            assert len(self.product.calls) == calls
            return
        refused = not same and bool(refusal or not fits(values) or values.get("label") == "bad")
        reached_apply = not same and not refusal and fits(values)
        if same or refused:
            result = self.do(lambda: self.config.offer(version, dict(values), refusal, trial), version, self.values, self.before)
        else:
            before = self.values if trial else None
            result = self.do(lambda: self.config.offer(version, dict(values), refusal, trial), version, values, before)
        if result is None:
            return  # cut
        assert result[0] == self.values and bool(result[1]) == refused
        made = self.product.calls[calls:]
        if not reached_apply:
            assert made == []
        else:
            assert made == [declared(values)] + ([declared(self.values)] if refused else [])
            assert version not in self.applied, "applied once"
            self.applied.add(version)
        self.untold = refused or own

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def offer_what_was_told(self, data: Any) -> None:
        """The cloud gives back what it has taken."""
        self.offer(1, dict(data.draw(st.sampled_from(self.told), "values")), False, None)

    @rule()
    def offer_what_only_looks_the_same(self) -> None:
        values = {key: int(value) if value is True or value is False else value for key, value in self.values.items()}
        self.offer(1, values, False, None)

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def offer_an_old_one(self, data: Any) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)), "version")
        if version > self.version:
            return
        calls = len(self.product.calls)
        assert self.config.offer(version, dict(self.versions[version])) is None
        assert len(self.product.calls) == calls

    @precondition(lambda self: self.before is not None)
    @rule()
    def keep(self) -> None:
        self.do(self.config.keep, self.version, self.values, None)

    @precondition(lambda self: self.before is not None)
    @rule()
    def roll_back(self) -> None:
        before = self.before
        assert before is not None
        self.do(self.config.roll_back, self.version, before, None)
        assert self.product.now == declared(before)
        self.untold = True

    @rule(values=LOCAL)
    def change(self, values: dict[str, Any]) -> None:
        merged = {**self.values, **values}
        before = None if self.before is None else {**self.before, **values}
        changes = (merged, before) != (self.values, self.before)
        self.do(lambda: self.config.change(values), self.version, merged, before)
        self.untold = self.config.untold if self.reborn else self.untold or changes
        self.product.now = declared(self.values)

    @rule(values=st.sampled_from([{"interval": 4}, {"label": 5}, {"settings": {}}, {"on": 1, "interval": 60}]))
    def change_to_what_does_not_fit(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be|for the cloud"):
            self.config.change(values)

    @precondition(lambda self: self.config.untold)
    @rule()
    def tell(self) -> None:
        self.config.told()
        if self.values not in self.told and len(self.told) < 4:
            self.told.append(self.values)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), ahead=st.integers(0, 2))
    def cloud_has_taken(self, data: Any, ahead: int) -> None:
        values = data.draw(st.sampled_from(self.told), "values")
        version = self.version + ahead
        more = self.do(lambda: self.config.taken(version, dict(values)), version, self.values, self.before)
        if more is not None:
            assert more == (values != self.values)
            self.untold = more

    @rule(cut=st.booleans(), saves=st.integers(1, 4), complete=st.booleans())
    def restart(self, cut: bool, saves: int, complete: bool) -> None:
        """Now, or in one of the next saves."""
        if cut:
            fw.switch.arm(saves, complete)
        else:
            self.boot()

    @invariant()
    def in_force_is_what_passed(self) -> None:
        assert (self.config.version, self.config.values) == (self.version, self.values)
        assert self.config.on_trial() == (self.before is not None)
        assert self.config.untold == self.untold
        assert fits(self.values)
        assert self.product.now == declared(self.values)


class AgentLife(DisturbedLife):
    """The whole agent with its transport; the operator, the product and the link change things at any time."""

    kind = "config"

    def __init__(self) -> None:
        self.product = Product()
        self.highest = 0
        # how often each version reached the product
        self.reached: dict[int, int] = {}
        self.cuts = False
        self.unsure_of: set[int] = set()
        super().__init__()

    def declare(self, agent: Any) -> None:
        self.product = Product()
        agent.config(**FIELDS)(self.product.apply)
        config = agent._config
        offer = config.offer

        def counted(version: int, values: Any, *more: Any) -> Any:
            calls = len(self.product.calls)
            try:
                return offer(version, values, *more)
            except PowerCut:
                self.reached.pop(version, None)
                calls = len(self.product.calls)
                raise
            finally:
                if len(self.product.calls) > calls:
                    self.reached[version] = self.reached.get(version, 0) + 1
                    assert self.reached[version] == 1, "a version is applied once"

        config.offer = counted

    @rule(values=LIKELY, pushed=st.booleans())
    def operator_changes(self, values: dict[str, Any], pushed: bool) -> None:
        keep = {key: self.cloud.values[key] for key in ("settings",) if key in self.cloud.values}
        if self.cloud.operator({**values, **keep}) and pushed:
            self.push("config", self.flat())

    @rule(values=GOOD, link=LINKS, pushed=st.booleans())
    def operator_changes_the_link(self, values: dict[str, Any], link: Any, pushed: bool) -> None:
        if self.cloud.operator({**values, "settings": link}) and pushed:
            self.push("config", self.flat())

    @rule(values=LOCAL)
    def product_changes(self, values: dict[str, Any]) -> None:
        booted = self.reboots
        self.unless_cut(lambda: self.agent.change_config(**values))
        if booted == self.reboots:
            self.product.now = {**self.product.now, **values}

    @invariant()
    def in_force_is_what_passed(self) -> None:
        version = self.agent.config_version()
        assert version >= self.highest, "never backwards"
        self.highest = version
        config = self.agent._config
        assert fits(config.values)
        if self.agent._started:
            assert self.product.now == declared(config.values)
        self.link_is_of(config.values)

    @invariant()
    def what_is_told_is_in_force(self) -> None:
        assert self.cloud.confirmed <= self.cloud.version

    def link_is_of(self, values: dict[str, Any]) -> None:
        link = values.get("settings", {})
        has = self.agent.settings
        assert has.keepalive == link.get("keepalive", 60)
        assert has.transport == link.get("transport", self.transport)
        assert has.entry == link.get("entry", ENTRY)

    def agreed(self) -> bool:
        config = self.agent._config
        cloud = self.cloud
        same = (config.version, config.values) == (cloud.version, cloud.values)
        return same and not config.on_trial() and (cloud.confirmed == cloud.version) and not (config.untold and cloud.version)

    def at_the_end(self) -> None:
        self.settle(self.agreed)
        self.in_force_is_what_passed()
        assert "dead" not in self.agent.settings.entry


class HTTPLife(AgentLife):
    transport = "http"


@pytest.mark.usefixtures("firmware")
@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize(("machine", "examples"), [(ConfigLife, 150), (AgentLife, 90), (HTTPLife, 90)])
def test_the_configuration_in_force_is_one_that_passed_and_both_sides_agree_in_the_end(machine: type[Folder], examples: int) -> None:
    explore(machine, examples)
