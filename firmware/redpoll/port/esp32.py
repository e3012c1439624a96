# ESP32 and its family.
import esp32
import network

try:
    # its driver takes memory from where the Python heap grows to: as long as there is enough
    network.WLAN(network.STA_IF)
except Exception:  # noqa: S110 - who wants it is told then
    pass


def largest_block():
    """Bytes of the largest piece that the chip can still give: to the Python heap, which grows, or to TLS, which lives beside it."""
    return max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])


def app_partitions():
    """(esp32.Partition that runs, the one that a firmware image can be written to; None where the table has no second)."""
    running = esp32.Partition(esp32.Partition.RUNNING)
    try:
        idle = running.get_next_update()
    except OSError:
        return running, None
    return running, idle if idle.info()[4] != running.info()[4] else None


def keep_app():
    """The application that runs is good: the bootloader does not go back. OSError."""
    esp32.Partition.mark_app_valid_cancel_rollback()


def station():
    """The Wi-Fi station."""
    from .esp32_wlan import Station

    return Station()
