# An agent over HTTPS polling, against a cloud that the test plays (seed 000).
from cloud_fakes import CREDENTIALS, HTTP, ID, Reply
from product_bench import ProductBench
from redpoll.cloud import xyte_http

BASE = "/v1/devices/" + ID
_UNTOLD = xyte_http._untold
QUIET = {
    "config_version": 0, "command": False, "info_version": 0, "new_licenses": False, "latest_fw_version": None,
    "latest_fw_file_id": None, "space_data_version": 0, "success": True,
}  # fmt: skip


class Bench(ProductBench):
    """`answers` is {(method, path below the device): Reply or a list of them}, `reply` what is answered to telemetry."""

    def __init__(self):
        self.reply = dict(QUIET)
        self.answers = {}
        super().__init__(transport="http")

    def start(self):
        # as a restart leaves it
        xyte_http._untold = _UNTOLD
        super().start()

    def serve(self, method, path, body):
        if path == "/v1/devices":
            return Reply(201, CREDENTIALS)
        answer = self.answers.get((method, path[len(BASE) :]))
        if isinstance(answer, list):
            return answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is not None:
            return answer
        if path == BASE + "/telemetry":
            return Reply(200, self.reply)
        return Reply(404, {"error": "nothing"}) if path == BASE + "/command" and method == "GET" else Reply(200, {})

    def turn(self, ms=0):
        self.ticks.ms += ms
        for _ in range(20):
            self.agent.poll()

    def made(self, method, path):
        """The bodies of the requests made so far."""
        return [r[2] for r in HTTP.requests if r[0] == method and r[1] == BASE + path]
