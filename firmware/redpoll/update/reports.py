# Who is told of an update beside the Xyte cloud: the reporters of settings.report, on the MQTT connection of the cloud in use.
from .. import log


class Reports:
    """`on_request(operation, uuid, url)` is called for each OTARequest."""

    def __init__(self, settings, on_request):
        self._settings = settings
        self._on_request = on_request
        self._reporters = []

    def begin(self, adapter):
        """A session has begun. OSError and MQTTException when it breaks."""
        settings = self._settings
        self._reporters = []
        device = settings.credentials["id"]
        for name in settings.report:
            try:
                if name == "astarte":
                    from ..cloud import astarte

                    reporter = astarte.Reporter(settings.astarte_realm, device, adapter.properties)
                    adapter.listen(reporter.requests, self._take)
                    adapter.let(reporter.hello)
                else:
                    from ..cloud import kura

                    reporter = kura.Reporter(settings.kura_account, device, adapter.properties)
                self._reporters.append(reporter)
            except ValueError as error:
                log.warning("report to %s: %s", name, error)

    def send(self, adapter, event):
        """Publish an event with each reporter -> False while there is no room for it; call it again then."""
        at = event.get("told", 0)
        while at < len(self._reporters):
            try:
                if not adapter.report_update(self._reporters[at], event):
                    return False
                event["open"] = event.get("open", 0) + 1
            except ValueError as error:
                # an id that this reporter has no words for, or more than the broker takes
                log.warning("update event: %s", error)
            at += 1
            event["told"] = at
        return True

    def _take(self, payload):
        from ..cloud import astarte

        try:
            operation, uuid, url = astarte.request(payload)
        except ValueError as error:
            log.warning("OTARequest: %s; it is left alone", log.describe(error))
            return
        if not uuid or len(uuid) > 64:
            log.warning("OTARequest: without a uuid; it cannot be answered")
            return
        self._on_request(operation, uuid, url)
