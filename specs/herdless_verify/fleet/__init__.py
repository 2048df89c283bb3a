"""The processes of a fleet under controlled schedules: nothing of them happens by itself, and time is a number.

    python -m herdless_verify.fleet                       every order of the small scenes, and some of the large one
    python -m herdless_verify.fleet SCENE                 one of them
    python -m herdless_verify.fleet --walks 10000 --seed 7    more of the large one

    from herdless_verify.fleet import SCENES, every_order, walks
    every_order(SCENES["get, get"]).violation             # "" where every order keeps what is promised

scenes     who asks for what, and how much may go wrong
process    one process: the shared cache's own sessions, trust and near rules, without a runtime
world      the store, messages on their way, time; what may happen next, and what has to hold
search     every order of a scene, each state once; or orders by luck

It is apart from `exploration`, which explores one key in one process: here the moves are those of sessions and of
messages. And it is apart from the schedule explorers of `herdless.testing`, which run tasks and threads: here there are
none, so that a small scene can be exhausted.
"""

from herdless_verify.fleet.scenes import SCENES, Scene
from herdless_verify.fleet.search import Found, every_order, walks

__all__ = ["SCENES", "Found", "Scene", "every_order", "walks"]
