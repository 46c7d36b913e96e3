"""An airline: flights with seats and fares, travelers, and bookings up to the boarding pass."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    choice,
    integer,
    limit,
    machine,
    number,
    read,
    text,
    write,
)
from services.worlds.machines.records import (
    cents,
    cycle,
    day,
    email,
    find,
    having,
    ids,
    lookup,
    minutes_later,
    new_id,
    only,
    page,
    people,
    require,
    some_day,
)

ORIGINS: Final = (("AMS", "Amsterdam"), ("DUB", "Dublin"), ("VIE", "Vienna"))
DESTINATIONS: Final = (("LIS", "Lisbon"), ("ATH", "Athens"), ("OSL", "Oslo"))
ROWS: Final = range(3, 9)
SEATS: Final = tuple(f"{row}{letter}" for row in ROWS for letter in "ACDF")
BAG_FEE: Final = 35.0
CANCELLATION_FEE: Final = 40.0

F: Final = Fields(
    limit=limit(),
    origin=choice("departure airport", "IATA code of the departure airport.", [c for c, _ in ORIGINS]),
    destination=choice("arrival airport", "IATA code of the arrival airport.", [c for c, _ in DESTINATIONS]),
    departure_date=text("travel date", "Date of departure, as YYYY-MM-DD.", format="date"),
    flight_id=text("flight number", "Identifier of a flight on a given day, for example FLT-38214."),
    flight_number=text("flight number", "Flight number, for example KW412."),
    departs_at=text("departure time", "Local departure time, as YYYY-MM-DDTHH:MM."),
    arrives_at=text("arrival time", "Arrival time, as YYYY-MM-DDTHH:MM."),
    gate=text("gate", "Departure gate."),
    fare=number("fare", "Fare of an economy seat in EUR."),
    seats_left=integer("seats left", "Seats that can still be booked."),
    traveler_id=text("traveler number", "Traveler identifier, for example TRV-60418."),
    traveler_name=text("traveler name", "Full name as in the passport."),
    traveler_email=text("email address", "Email address of the traveler profile.", format="email"),
    loyalty_points=integer("points", "Points on the loyalty account."),
    booking_id=text("booking number", "Booking identifier, for example BKG-51377."),
    booking_status=choice("booking status", "Booking status.", ("confirmed", "checked_in", "cancelled")),
    cabin_class=choice(
        "cabin", "Cabin; business costs 2.5 times the fare.", ("economy", "business"), default="economy"
    ),
    price_paid=number("price", "Total price of the booking in EUR, with bags."),
    seat_number=text("seat", "Seat, row and letter, for example 5C."),
    seat_position=choice("seat position", "Where in the row the seat is.", ("window", "aisle")),
    bag_count=integer("number of bags", "Checked bags to add.", (1, 2, 3, 4, 5), minimum=1, maximum=5),
    checked_bags=integer("checked bags", "Checked bags of the booking."),
    refund_amount=number("refund", "Amount that is paid back in EUR."),
    boarding_pass=text("boarding pass", "Code of the boarding pass, present once checked in."),
    meal_preference=choice(
        "meal", "Meal served on board.", ("vegetarian", "vegan", "halal", "kosher", "gluten_free")
    ),
)  # fmt: skip

FLIGHT: Final = "flight_id flight_number origin destination departs_at arrives_at fare seats_left"
TRAVELER: Final = "traveler_id traveler_name traveler_email loyalty_points"
SUMMARY: Final = "booking_id flight_id booking_status cabin_class price_paid"
BOOKING: Final = (
    "booking_id traveler_id flight_id booking_status cabin_class price_paid checked_bags seat_number? "
    "meal_preference? boarding_pass? refund_amount?"
)


def initial(rng: random.Random) -> State:
    """27 flights on nine routes over three days, 8 travelers and 16 bookings."""
    state: State = {"today": some_day(rng), "last_number": {}, "flights": {}, "bookings": {}}
    routes = [(o, d) for o, _ in ORIGINS for d, _ in DESTINATIONS]
    numbers = iter(ids(rng, state, "FLT", 27))
    for index, (origin, destination) in enumerate(routes):
        for days in (5, 6, 7):
            flight_id, departs = next(numbers), f"{day(state['today'], days)}T{rng.randrange(6, 20):02d}:35"
            state["flights"][flight_id] = {
                "flight_id": flight_id, "flight_number": f"KW{400 + 3 * index}", "origin": origin,
                "destination": destination, "departs_at": departs,
                "arrives_at": minutes_later(departs, rng.randrange(110, 260)),
                "fare": cents(rng.randrange(60, 240) + 0.9), "seats_left": rng.randrange(8, 20),
                "gate": f"{rng.choice('BCD')}{rng.randrange(10, 40)}",
            }  # fmt: skip
    state["travelers"] = {
        traveler_id: {
            "traveler_id": traveler_id, "traveler_name": name,
            "traveler_email": email(name, "wayfarer.travel"),
            "loyalty_points": rng.randrange(200, 30_000),
        }
        for traveler_id, name in zip(ids(rng, state, "TRV", 8), people(rng, 8), strict=True)
    }  # fmt: skip
    flights, owners = rng.sample(list(state["flights"].values()), 8), cycle(rng, state["travelers"], 16)
    statuses = cycle(rng, ("confirmed", "confirmed", "confirmed", "cancelled"), 16)
    for index, booking_id in enumerate(ids(rng, state, "BKG", 16)):
        flight = flights[index % 8]
        booking = state["bookings"][booking_id] = {
            "booking_id": booking_id, "traveler_id": owners[index], "flight_id": flight["flight_id"],
            "booking_status": statuses[index], "cabin_class": "economy", "price_paid": flight["fare"],
            "checked_bags": 0,
        }  # fmt: skip
        if statuses[index] == "cancelled":
            booking["refund_amount"] = cents(max(0.0, flight["fare"] - CANCELLATION_FEE))
    confirmed = having(state["bookings"], booking_status="confirmed")
    for booking, seat in zip(rng.sample(confirmed, 6), rng.sample(SEATS, 6), strict=True):
        booking["seat_number"] = seat
    return state


@read(
    "origin destination departure_date? limit?",
    F.listing("flights", FLIGHT),
    "find flights between two cities",
    "see which flights go somewhere",
)
def search_flights(state: State, args: Arguments) -> Any:
    """Search flights between two airports, earliest first, optionally on one day only."""
    found = having(state["flights"], **only(args, "origin destination"))
    found = [flight for flight in found if flight["departs_at"].startswith(args.get("departure_date", ""))]
    return page("flights", sorted(found, key=lambda f: f["departs_at"]), args["limit"], FLIGHT)


@read("flight_id", F.object(FLIGHT + " gate"), "look at a flight", "check the gate and times of a flight")
def get_flight(state: State, args: Arguments) -> Any:
    """Get times, gate, fare and seats left of a flight."""
    return lookup(state["flights"], args["flight_id"], "Flight")


@read("traveler_email", F.object(TRAVELER), "look up a traveler", "find a traveler by email")
def find_traveler(state: State, args: Arguments) -> Any:
    """Find a traveler profile by its email address."""
    return find(state["travelers"], "traveler_email", args["traveler_email"], "traveler")


@read(
    "traveler_id booking_status? limit?",
    F.listing("bookings", SUMMARY),
    "see a traveler's bookings",
    "list the bookings of a traveler",
)
def list_traveler_bookings(state: State, args: Arguments) -> Any:
    """List the bookings of a traveler, optionally only those with a given status."""
    lookup(state["travelers"], args["traveler_id"], "Traveler")
    status = args.get("booking_status")
    found = having(state["bookings"], traveler_id=args["traveler_id"], booking_status=status)
    return page("bookings", found, args["limit"], SUMMARY)


@read("booking_id", F.object(BOOKING), "look at a booking", "check the details of a booking")
def get_flight_booking(state: State, args: Arguments) -> Any:
    """Get a booking with its flight, price, seat, bags and, once checked in, boarding pass."""
    return lookup(state["bookings"], args["booking_id"], "Booking")


def _take_seat(flight: Any) -> None:
    full = f"Flight {flight['flight_number']} on {flight['departs_at'][:10]} is sold out."
    require(flight["seats_left"] > 0, "conflict", full)
    flight["seats_left"] -= 1


def _price(flight: Any, cabin: str) -> float:
    return cents(flight["fare"] * (2.5 if cabin == "business" else 1))


@write(
    "traveler_id flight_id cabin_class?",
    F.object(BOOKING),
    "book a flight for a traveler",
    "reserve a flight for a traveler",
)
def book_flight(state: State, args: Arguments) -> Any:
    """Book a seat on a flight for a traveler. Fails with a conflict when they have one or it is sold out."""
    lookup(state["travelers"], args["traveler_id"], "Traveler")
    flight = lookup(state["flights"], args["flight_id"], "Flight")
    mine = having(state["bookings"], **only(args, "traveler_id flight_id"))
    twice = any(booking["booking_status"] != "cancelled" for booking in mine)
    require(not twice, "conflict", "The traveler is booked on this flight already.")
    _take_seat(flight)
    booking_id = new_id(state, "BKG")
    state["bookings"][booking_id] = {
        "booking_id": booking_id, **only(args, "traveler_id flight_id cabin_class"),
        "booking_status": "confirmed", "price_paid": _price(flight, args["cabin_class"]), "checked_bags": 0,
    }  # fmt: skip
    return state["bookings"][booking_id]


def _confirmed(state: State, booking_id: str) -> Any:
    booking = lookup(state["bookings"], booking_id, "Booking")
    status = booking["booking_status"].replace("_", " ")
    changeable = status == "confirmed"
    require(changeable, "precondition_failed", f"Booking {booking_id} is {status} and can't be changed.")
    return booking


@write("booking_id", F.object(BOOKING), "cancel a booking", "call off a booking")
def cancel_flight_booking(state: State, args: Arguments) -> Any:
    """Cancel a booking before check-in. The price less a fee of 40 EUR is paid back; the seat is freed."""
    booking = _confirmed(state, args["booking_id"])
    state["flights"][booking["flight_id"]]["seats_left"] += 1
    booking.pop("seat_number", None)
    refund = cents(max(0.0, booking["price_paid"] - CANCELLATION_FEE))
    booking |= {"booking_status": "cancelled", "refund_amount": refund}
    return booking


@write(
    "booking_id flight_id",
    F.object(BOOKING),
    "move a booking to another flight",
    "change the flight of a booking",
)
def change_booked_flight(state: State, args: Arguments) -> Any:
    """Move a booking to another flight at that flight's fare; the seat has to be chosen again."""
    booking, flight = (
        _confirmed(state, args["booking_id"]),
        lookup(state["flights"], args["flight_id"], "Flight"),
    )
    require(booking["flight_id"] != args["flight_id"], "conflict", "The booking is for this flight already.")
    _take_seat(flight)
    state["flights"][booking["flight_id"]]["seats_left"] += 1
    booking.pop("seat_number", None)
    price = cents(_price(flight, booking["cabin_class"]) + BAG_FEE * booking["checked_bags"])
    booking |= {"flight_id": args["flight_id"], "price_paid": price}
    return booking


def _taken(state: State, flight_id: str) -> list[str]:
    return [b["seat_number"] for b in having(state["bookings"], flight_id=flight_id) if "seat_number" in b]


@read(
    "flight_id seat_position? limit?",
    F.listing("seats", "flight_id seat_number seat_position"),
    "see which seats are free on a flight",
    "check the free seats on a flight",
)
def list_free_seats(state: State, args: Arguments) -> Any:
    """List the free seats of a flight, optionally only those at the window or the aisle."""
    lookup(state["flights"], args["flight_id"], "Flight")
    free = {
        seat: {
            "flight_id": args["flight_id"], "seat_number": seat,
            "seat_position": "window" if seat[-1] in "AF" else "aisle",
        }
        for seat in SEATS if seat not in _taken(state, args["flight_id"])
    }  # fmt: skip
    found = having(free, seat_position=args.get("seat_position"))
    return page("seats", found, args["limit"], "flight_id seat_number seat_position")


@write(
    "booking_id seat_number", F.object(BOOKING), "choose a seat for a booking", "pick a seat for a booking"
)
def select_seat(state: State, args: Arguments) -> Any:
    """Choose a seat for a booking before check-in. Fails with a conflict when the seat is taken."""
    booking, seat = _confirmed(state, args["booking_id"]), args["seat_number"]
    require(seat in SEATS, "invalid_arguments", f"There is no seat {seat} on this aircraft.")
    require(seat not in _taken(state, booking["flight_id"]), "conflict", f"Seat {seat} is taken.")
    booking["seat_number"] = seat
    return booking


@write("booking_id bag_count", F.object(BOOKING), "add checked bags to a booking", "add luggage to a booking")
def add_checked_bags(state: State, args: Arguments) -> Any:
    """Add checked bags to a booking before check-in, 35 EUR each, at most five in all."""
    booking = _confirmed(state, args["booking_id"])
    bags = booking["checked_bags"] + args["bag_count"]
    require(bags <= 5, "limit_exceeded", f"{bags} bags are more than the five a booking may have.")
    booking |= {
        "checked_bags": bags,
        "price_paid": cents(booking["price_paid"] + BAG_FEE * args["bag_count"]),
    }
    return booking


@write(
    "booking_id meal_preference",
    F.object(BOOKING),
    "order a special meal for a booking",
    "request a special meal for a booking",
)
def request_special_meal(state: State, args: Arguments) -> Any:
    """Request a special meal for a booking before check-in."""
    booking = _confirmed(state, args["booking_id"])
    booking["meal_preference"] = args["meal_preference"]
    return booking


@write("booking_id", F.object(BOOKING), "check in a booking", "get the boarding pass for a booking")
def check_in_booking(state: State, args: Arguments) -> Any:
    """Check in and issue the boarding pass. A seat must have been chosen before."""
    booking = _confirmed(state, args["booking_id"])
    require("seat_number" in booking, "precondition_failed", "Choose a seat before checking in.")
    flight = state["flights"][booking["flight_id"]]
    code = f"{flight['flight_number']}-{booking['seat_number']}-{args['booking_id'][4:]}"
    booking |= {"booking_status": "checked_in", "boarding_pass": code}
    return booking


def _bookings(state: State, **fields: Any) -> list[str]:
    return [b["booking_id"] for b in having(state["bookings"], booking_status="confirmed", **fields)]


def _untouched_flights(state: State) -> list[str]:
    booked = {booking["flight_id"] for booking in state["bookings"].values()}
    return [key for key, f in state["flights"].items() if f["seats_left"] and key not in booked]


def _seats_free_everywhere(state: State) -> list[str]:
    taken = {booking.get("seat_number") for booking in state["bookings"].values()}
    return [seat for seat in SEATS if seat not in taken]


MACHINE: Final = machine(
    "airline",
    "Airline Bookings",
    "Airline reservations: flight search, traveler profiles, bookings, seats, bags, meals and check-in.",
    domain="travel",
    fields=F,
    tools=(
        search_flights, get_flight, find_traveler, list_traveler_bookings, get_flight_booking, book_flight,
        cancel_flight_booking, change_booked_flight, list_free_seats, select_seat, add_checked_bags,
        request_special_meal, check_in_booking,
    ),
    initial=initial,
    pools={
        "departure_date": lambda s: list(dict.fromkeys(f["departs_at"][:10] for f in s["flights"].values())),
        "traveler_email": lambda s: [t["traveler_email"] for t in s["travelers"].values()],
        "traveler_id": lambda s: list(s["travelers"]),
        "flight_id": lambda s: list(s["flights"]),
        "book_flight.flight_id": _untouched_flights,
        "change_booked_flight.flight_id": _untouched_flights,
        "booking_id": _bookings,
        "get_flight_booking.booking_id": lambda s: list(s["bookings"]),
        "add_checked_bags.booking_id": lambda s: _bookings(s, checked_bags=0),
        "check_in_booking.booking_id": lambda s: [
            key for key in _bookings(s) if "seat_number" in s["bookings"][key]
        ],
        "seat_number": _seats_free_everywhere,
    },
)  # fmt: skip
