"""A Binance to test against: recorded or simulated messages behind the venue's own addresses.

It answers: what does the venue say when (`tape`); what does REST tell of that (`state`, `http`);
what passes for time (`clock`); what do requests cost (`weights`); who is connected, and
gets what (`exchange`, `connection`, `masks`); what goes wrong (`faults`); how is it run (`local`).

It judges no data and keeps none: what a client makes of it is for others to see.
"""

from lobproof.serve.clock import VenueClock
from lobproof.serve.connection import Observer
from lobproof.serve.exchange import Exchange
from lobproof.serve.faults import Fault, parse_fault
from lobproof.serve.local import LocalExchange
from lobproof.serve.state import BookCopy
from lobproof.serve.tape import Message, Tape, recorded_tape, simulated_tape
from lobproof.sources.binance.venue import PROFILES, MarketName

__all__ = [
    "PROFILES",
    "BookCopy",
    "Exchange",
    "Fault",
    "LocalExchange",
    "MarketName",
    "Message",
    "Observer",
    "Tape",
    "VenueClock",
    "parse_fault",
    "recorded_tape",
    "simulated_tape",
]
