# Files of the cloud: what it says of one, and one that the device uploads (reference xyte §2).
from .https import DeviceCall, explain, is_of_cloud, object_of


class FileInfo(DeviceCall):
    """What the cloud says of a file (GET /files/{id}, reference xyte §2): its "url", and what else there is."""

    def __init__(self, settings, file_id):
        super().__init__(settings)
        self._http.request("GET", "/v1/devices/%s/files/%s" % (self._id, file_id))

    def poll(self):
        """None while it goes on, then a dict. OSError for an error of the cloud, also for what is not from the cloud."""
        response = self._http.poll()
        if response is None:
            return None
        info = object_of(response)
        if response.status != 200 or info is None:
            raise OSError("file: " + explain(response))
        return info


class Dump(DeviceCall):
    """Upload lines of text as a file (POST /dumps, reference xyte §2); `finish(status, message)` is called at the end."""

    def __init__(self, settings, lines, finish):
        super().__init__(settings)
        self._finish = finish
        path = "/v1/devices/%s/dumps/text%%2Fplain/agent.log" % self._id
        self._http.request("POST", path, "\n".join(lines).encode(), {"Content-Type": "text/plain"})

    def poll(self):
        """Go on; True when it has ended."""
        status = "error"
        try:
            response = self._http.poll()
            if response is None:
                return False
            if response.status in (200, 201) and is_of_cloud(response):
                status = "done"
                message = "uploaded"
            else:
                message = "dump: " + explain(response)
        except Exception as error:
            message = "dump: %s" % (str(error) or type(error).__name__)
        self._http.close()
        self._finish(status, message)
        return True
