# ESP32 and its family.
import esp32


def largest_block():
    """Bytes of the largest piece that the chip can still give: to the Python heap, which grows, or to TLS, which lives beside it."""
    return max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])


def station():
    """The Wi-Fi station."""
    from .esp32_wlan import Station

    return Station()
