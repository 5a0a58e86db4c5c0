"""XMP packets: a record of ours is found in what other programs made of a packet, and nothing else is lost."""

from __future__ import annotations

from random import Random

from esc_plugin.files.exif import upright_xmp
from esc_plugin.files.xmp import EMPTY, split_record, with_record
from esc_plugin.provenance import record_of_command

from ..case import Case, check
from ..mutate import damaged, retyped

RECORD = record_of_command("upscale", model="toy", options={"a": [1, 2.5, None, "<&\"'\u202e"]})
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"><dc:title>words</dc:title></rdf:Description>'
    '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)


def case(rng: Random) -> Case:
    """Return a packet with something changed."""
    packet = PACKET.encode()
    if rng.random() < 0.7:
        packet = with_record(packet, RECORD) or b""
    if rng.random() < 0.3:
        packet = packet.replace(
            b'esc:provenance="', rng.choice((b"esc:provenance='", b"<esc:provenance>", b'esc:provenance="' * 2))
        )
    text = rng.random() < 0.6
    packet = retyped(rng, packet.decode()).encode("utf-8", "surrogatepass") if text else damaged(rng, packet)
    if rng.randrange(30) == 0:
        packet = packet + rng.choice((b'esc:provenance="', b"<esc:provenance>", b"tiff:Orientation=")) * 20_000
    return Case(f"xmp, {'text' if text else 'bytes'}", {}, lambda _: attempted(packet))


def attempted(packet: bytes) -> None:
    """Split a packet, and put a record into what is left of it."""
    record, rest = split_record(packet)
    check(isinstance(record, dict), f"the record is {record!r:.80}")
    upright_xmp(rest)
    again = with_record(rest, RECORD)
    if again != rest:
        left = None if rest in (b"", EMPTY) else rest
        check(split_record(again) == (RECORD, left), "a record that was put in is not the one that is found")
