"""Names of the clients' employees: the same ones at every call, whoever asks."""

from __future__ import annotations

import functools
from random import Random

_FIRST = """
Aisha Alex Amara Andre Anika Ben Carla Chen Clara Daniel Diego Elena Emma Ethan Fatima Felix Grace Hana Hugo
Ines Isaac Jade Jamal Jonas Julia Kai Karim Kofi Laila Leo Lucia Maya Mei Milan Nadia Noah Nora Olga Omar
Owen Paula Pedro Quinn Rosa Ruth Sam Sara Sergio Tara Theo Uma Victor Wren Yara Yusuf Zoe
""".split()  # noqa: SIM905 - two hundred quotes help nobody
_LAST = """
Abbott Ahmed Baker Becker Bianchi Brooks Castillo Chandra Cho Cruz Dawson Diallo Dubois Evans Fischer Flores
Garcia Haddad Hansen Ito Ivanova Jensen Johnson Kaur Keller Khan Kim Larsen Lopez Martin Mensah Meyer Moreau
Murphy Nguyen Novak Okoye Olsen Park Patel Reyes Rossi Sato Silva Singh Tanaka Torres Vargas Walsh Weber
Wong Young Zhang
""".split()  # noqa: SIM905 - two hundred quotes help nobody


@functools.cache
def of_department(domain: str, department: str, headcount: int) -> tuple[str, ...]:
    """Return the mail addresses of `headcount` people of a department, no two alike within it."""
    pairs = Random(f"{domain}/{department}").sample(range(len(_FIRST) * len(_LAST)), headcount)  # noqa: S311
    names = ((_FIRST[pair % len(_FIRST)], _LAST[pair // len(_FIRST)]) for pair in pairs)
    return tuple(f"{first}.{last}@{domain}".lower() for first, last in names)
