"""Food delivery: restaurants and menus, diners, carts, orders on their way, tips and ratings."""

from __future__ import annotations

import random
from typing import Any, Final

from services.worlds.machine import Arguments, State
from services.worlds.machines.definition import (
    Fields,
    array,
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
    address,
    cents,
    cycle,
    email,
    find,
    having,
    ids,
    lookup,
    new_id,
    only,
    page,
    people,
    require,
)

CUISINES: Final = ("italian", "japanese", "indian", "mexican")
RESTAURANTS: Final = (
    ("Trattoria Lucia", "italian"), ("Forno Vecchio", "italian"), ("Sakura Corner", "japanese"),
    ("Ramen Kita", "japanese"), ("Saffron House", "indian"), ("Chai & Clove", "indian"),
    ("Casa Agave", "mexican"), ("Taqueria Sol", "mexican"),
)  # fmt: skip
DISHES: Final = {
    "italian": (("Margherita pizza", 10.5, "vegetarian"), ("Tagliatelle al ragu", 13.9, "none"),
                ("Caprese salad", 8.75, "gluten_free"), ("Aubergine parmigiana", 12.4, "vegetarian")),
    "japanese": (("Salmon nigiri set", 15.8, "gluten_free"), ("Miso ramen", 12.9, "none"),
                 ("Vegetable gyoza", 7.2, "vegan"), ("Tofu donburi", 11.6, "vegan")),
    "indian": (("Chana masala", 10.9, "vegan"), ("Butter chicken", 13.5, "gluten_free"),
               ("Palak paneer", 12.2, "vegetarian"), ("Garlic naan", 3.4, "vegetarian")),
    "mexican": (("Carnitas tacos", 11.3, "gluten_free"), ("Black bean burrito", 9.8, "vegan"),
                ("Quesadilla de hongos", 9.1, "vegetarian"), ("Pozole rojo", 12.7, "none")),
}  # fmt: skip
DIETS: Final = ("vegetarian", "vegan", "gluten_free", "none")

F: Final = Fields(
    limit=limit(),
    restaurant_id=text("restaurant number", "Restaurant identifier, for example RST-20953."),
    restaurant_name=text("restaurant", "Name of the restaurant."),
    cuisine=choice("kind of food", "Cuisine of the restaurant.", CUISINES),
    restaurant_rating=number("rating", "Average rating from 1 to 5."),
    delivery_fee=number("delivery fee", "Fee for delivery in EUR."),
    delivery_minutes=integer("delivery time", "Typical time until delivery, in minutes."),
    max_minutes=integer("longest wait", "Only restaurants that deliver within so many minutes.", (
        32, 38, 45, 50, 60,
    ), minimum=10),
    menu_item_id=text("dish number", "Identifier of a dish on a menu, for example DSH-51804."),
    dish_name=text("dish", "Name of the dish."),
    dish_price=number("price", "Price of one portion in EUR."),
    diet=choice("diet", "Diet that the dish suits.", DIETS),
    diner_id=text("diner number", "Diner account identifier, for example DIN-37741."),
    diner_name=text("name", "Full name of the diner."),
    diner_email=text("email address", "Email address of the diner account.", format="email"),
    delivery_address=text("delivery address", "Address that the food is brought to.", (
        "9 Weaver's Yard, Clearwater 55018", "73 Poplar Street, Hillcrest 31442",
        "Unit 4, Old Mill Quay, Eastport 21977", "160 Station Parade, Ashford 35503",
        "28 Chestnut Rise, Brookhaven 64120",
    )),
    cart_id=text("cart number", "Cart identifier, for example CRT-60217."),
    cart_total=number("cart total", "Price of the dishes in the cart in EUR, without delivery."),
    portions=integer("portions", "Number of portions.", (1, 2, 3, 4, 5), minimum=1, maximum=20),
    kitchen_note=text("note to the kitchen", "Wish for how the dish is prepared.", (
        "No onions, please", "Extra spicy", "Sauce on the side", "Well done", "Cut into small pieces",
    )),
    food_order_id=text("food order number", "Food order identifier, for example FOD-88340."),
    food_order_status=choice(
        "order status", "Status of the food order.", ("preparing", "on_the_way", "delivered", "cancelled")
    ),
    amount_due=number("total", "Total of the food order in EUR, with delivery."),
    courier_name=text("courier", "Name of the courier, once the food is on the way."),
    minutes_away=integer("minutes", "Minutes until the food arrives."),
    tip_amount=number("tip", "Tip in EUR.", (1.5, 2.0, 3.25, 4.0, 5.5), exclusiveMinimum=0, maximum=50),
    stars=integer("stars", "Stars from 1 to 5.", (1, 2, 3, 4, 5), minimum=1, maximum=5),
    review_text=text("review", "What was good or bad.", (
        "Hot, generous and on time.", "The sauce had leaked into the bag.", "Best meal we had in weeks.",
        "Tasty but half an hour late.", "One dish was missing.",
    )),
    cancelled_because=choice(
        "reason for cancelling", "Why the order is cancelled.",
        ("takes_too_long", "wrong_address", "ordered_twice", "changed_mind"), default="changed_mind",
    ),
)  # fmt: skip
LINE: Final = "menu_item_id dish_name portions dish_price"
F["cart_lines"] = array("Dishes in the cart.", F.object(f"{LINE} kitchen_note?"))
F["ordered_dishes"] = array("Dishes of the order.", F.object(LINE))

RESTAURANT: Final = "restaurant_id restaurant_name cuisine restaurant_rating delivery_fee delivery_minutes"
DISH: Final = "menu_item_id restaurant_id dish_name dish_price diet"
DINER: Final = "diner_id diner_name diner_email delivery_address"
CART: Final = "cart_id diner_id restaurant_id cart_lines cart_total"
SUMMARY: Final = "food_order_id restaurant_id food_order_status amount_due"
ORDER: Final = (
    "food_order_id diner_id restaurant_id food_order_status ordered_dishes amount_due delivery_address "
    "courier_name? tip_amount? stars? review_text? cancelled_because?"
)


def _dishes(state: State, restaurant_id: str) -> list[Any]:
    return having(state["dishes"], restaurant_id=restaurant_id)


def _total(lines: list[Any]) -> float:
    return cents(sum(line["dish_price"] * line["portions"] for line in lines))


def initial(rng: random.Random) -> State:
    """8 restaurants with four dishes each, 8 diners, 6 carts and 18 orders."""
    state: State = {"last_number": {}, "dishes": {}, "carts": {}, "food_orders": {}}
    state["restaurants"] = {
        restaurant_id: {
            "restaurant_id": restaurant_id, "restaurant_name": name, "cuisine": cuisine,
            "restaurant_rating": rng.randrange(36, 50) / 10, "delivery_fee": rng.randrange(4, 14) / 4,
            "delivery_minutes": rng.randrange(24, 58),
        }
        for restaurant_id, (name, cuisine) in zip(ids(rng, state, "RST", 8), RESTAURANTS, strict=True)
    }  # fmt: skip
    menu = [(r, dish) for r in state["restaurants"].values() for dish in DISHES[r["cuisine"]]]
    for menu_item_id, (restaurant, (name, price, diet)) in zip(ids(rng, state, "DSH", 32), menu, strict=True):
        state["dishes"][menu_item_id] = {
            "menu_item_id": menu_item_id, "restaurant_id": restaurant["restaurant_id"], "dish_name": name,
            "dish_price": cents(price + rng.randrange(-4, 5) / 10), "diet": diet,
        }  # fmt: skip
    names = people(rng, 12)
    state["diners"] = {
        diner_id: {
            "diner_id": diner_id, "diner_name": name, "diner_email": email(name, "quickmail.co"),
            "delivery_address": address(rng),
        }
        for diner_id, name in zip(ids(rng, state, "DIN", 8), names[:8], strict=True)
    }  # fmt: skip
    # Half of the carts are at one restaurant, so that its dishes fit several carts.
    favourite, *others = rng.sample(list(state["restaurants"]), 4)
    places = [favourite, favourite, favourite, *others]
    for cart_id, diner_id, place in zip(ids(rng, state, "CRT", 6), state["diners"], places, strict=False):
        dish = rng.choice(_dishes(state, place))
        state["carts"][cart_id] = {
            "cart_id": cart_id, "diner_id": diner_id, "restaurant_id": place,
            "cart_lines": [{**only(dish, LINE), "portions": rng.randrange(1, 4)}],
        }  # fmt: skip
    statuses = cycle(rng, ("preparing", "on_the_way", "delivered"), 18)
    owners = cycle(rng, state["diners"], 18)
    for food_order_id, status, owner in zip(ids(rng, state, "FOD", 18), statuses, owners, strict=True):
        restaurant = rng.choice(list(state["restaurants"].values()))
        chosen = rng.sample(_dishes(state, restaurant["restaurant_id"]), 2)
        lines = [{**only(dish, LINE), "portions": rng.randrange(1, 4)} for dish in chosen]
        order = state["food_orders"][food_order_id] = {
            "food_order_id": food_order_id, "diner_id": owner, "restaurant_id": restaurant["restaurant_id"],
            "food_order_status": status, "ordered_dishes": lines,
            "amount_due": cents(_total(lines) + restaurant["delivery_fee"]),
            "delivery_address": state["diners"][owner]["delivery_address"],
        }  # fmt: skip
        if status != "preparing":
            order["courier_name"] = rng.choice(names[8:])
    return state


@read(
    "cuisine max_minutes? limit?",
    F.listing("restaurants", RESTAURANT),
    "find a restaurant",
    "see which restaurants deliver",
)
def list_restaurants(state: State, args: Arguments) -> Any:
    """List the restaurants of a cuisine that deliver, best rated first, optionally only fast ones."""
    found = having(state["restaurants"], cuisine=args["cuisine"])
    found = [r for r in found if r["delivery_minutes"] <= args.get("max_minutes", r["delivery_minutes"])]
    found.sort(key=lambda restaurant: -restaurant["restaurant_rating"])
    return page("restaurants", found, args["limit"], RESTAURANT)


@read(
    "restaurant_id diet? limit?",
    F.listing("dishes", DISH),
    "see the menu of a restaurant",
    "look at the menu of a restaurant",
)
def list_menu(state: State, args: Arguments) -> Any:
    """List the dishes of a restaurant with prices, optionally only those that suit a diet."""
    lookup(state["restaurants"], args["restaurant_id"], "Restaurant")
    found = having(state["dishes"], restaurant_id=args["restaurant_id"], diet=args.get("diet"))
    return page("dishes", found, args["limit"], DISH)


@read("diner_email", F.object(DINER), "look up a diner", "find a diner by email")
def find_diner(state: State, args: Arguments) -> Any:
    """Find a diner's account by its email address."""
    return find(state["diners"], "diner_email", args["diner_email"], "diner")


def _show(cart: Any) -> Any:
    return {**cart, "cart_total": _total(cart["cart_lines"])}


@write(
    "diner_id restaurant_id",
    F.object(CART),
    "start a food order at a restaurant",
    "start a cart at a restaurant",
)
def start_cart(state: State, args: Arguments) -> Any:
    """Start an empty cart of a diner at a restaurant."""
    lookup(state["diners"], args["diner_id"], "Diner")
    lookup(state["restaurants"], args["restaurant_id"], "Restaurant")
    cart_id = new_id(state, "CRT")
    state["carts"][cart_id] = {"cart_id": cart_id, **only(args, "diner_id restaurant_id"), "cart_lines": []}
    return _show(state["carts"][cart_id])


@read("cart_id", F.object(CART), "see what is in a cart", "check the total of a cart")
def get_cart(state: State, args: Arguments) -> Any:
    """Get a cart with its dishes and their total, without delivery."""
    return _show(lookup(state["carts"], args["cart_id"], "Cart"))


@write(
    "cart_id menu_item_id portions kitchen_note?",
    F.object(CART),
    "add a dish to a cart",
    "put a dish in a cart",
)
def add_dish_to_cart(state: State, args: Arguments) -> Any:
    """Add portions of a dish to a cart. The dish must be on the menu of the cart's restaurant."""
    cart = lookup(state["carts"], args["cart_id"], "Cart")
    dish = lookup(state["dishes"], args["menu_item_id"], "Dish")
    same = dish["restaurant_id"] == cart["restaurant_id"]
    require(same, "precondition_failed", f"{dish['dish_name']} is from another restaurant than the cart.")
    line = {**only(dish, LINE), **only(args, "portions kitchen_note")}
    cart["cart_lines"].append(line)
    return _show(cart)


@write("cart_id", F.object("cart_id diner_id restaurant_id"), "throw a cart away", "discard a cart")
def discard_cart(state: State, args: Arguments) -> Any:
    """Discard a cart with everything in it."""
    lookup(state["carts"], args["cart_id"], "Cart")
    return only(state["carts"].pop(args["cart_id"]), "cart_id diner_id restaurant_id")


@write("cart_id delivery_address?", F.object(ORDER), "check out a cart", "place the order in a cart")
def checkout_cart(state: State, args: Arguments) -> Any:
    """Turn a cart into an order, brought to the diner's address unless another one is given."""
    cart = lookup(state["carts"], args["cart_id"], "Cart")
    require(bool(cart["cart_lines"]), "precondition_failed", f"Cart {args['cart_id']} is empty.")
    del state["carts"][args["cart_id"]]
    food_order_id, lines = new_id(state, "FOD"), cart["cart_lines"]
    fee = state["restaurants"][cart["restaurant_id"]]["delivery_fee"]
    home = state["diners"][cart["diner_id"]]["delivery_address"]
    state["food_orders"][food_order_id] = {
        "food_order_id": food_order_id, **only(cart, "diner_id restaurant_id"),
        "food_order_status": "preparing", "amount_due": cents(_total(lines) + fee),
        "ordered_dishes": [only(line, LINE) for line in lines],
        "delivery_address": args.get("delivery_address", home),
    }  # fmt: skip
    return state["food_orders"][food_order_id]


@read(
    "diner_id food_order_status? limit?",
    F.listing("food_orders", SUMMARY),
    "see what a diner has ordered",
    "list the food orders of a diner",
)
def list_diner_orders(state: State, args: Arguments) -> Any:
    """List the food orders of a diner, latest first, optionally only those with a given status."""
    lookup(state["diners"], args["diner_id"], "Diner")
    status = args.get("food_order_status")
    found = having(state["food_orders"], diner_id=args["diner_id"], food_order_status=status)
    return page("food_orders", found[::-1], args["limit"], SUMMARY)


@read("food_order_id", F.object(ORDER), "look at a food order", "check on a food order")
def get_food_order(state: State, args: Arguments) -> Any:
    """Get a food order with its dishes, total, address and, once on the way, courier."""
    return lookup(state["food_orders"], args["food_order_id"], "Food order")


@read(
    "food_order_id",
    F.object("food_order_id food_order_status courier_name minutes_away"),
    "see where a food order is",
    "track a food order",
)
def track_delivery(state: State, args: Arguments) -> Any:
    """Get courier and minutes until arrival of a food order that is on the way."""
    order = _order(state, args["food_order_id"], "on_the_way")
    minutes = state["restaurants"][order["restaurant_id"]]["delivery_minutes"] // 3
    return {**only(order, "food_order_id food_order_status courier_name"), "minutes_away": minutes}


def _order(state: State, food_order_id: str, *statuses: str) -> Any:
    order = lookup(state["food_orders"], food_order_id, "Food order")
    now = order["food_order_status"].replace("_", " ")
    wanted = " or ".join(status.replace("_", " ") for status in statuses)
    fits = order["food_order_status"] in statuses
    require(fits, "precondition_failed", f"Food order {food_order_id} is {now}, not {wanted}.")
    return order


@write("food_order_id cancelled_because?", F.object(ORDER), "cancel a food order", "call off a food order")
def cancel_food_order(state: State, args: Arguments) -> Any:
    """Cancel a food order that the kitchen is still preparing."""
    order = _order(state, args["food_order_id"], "preparing")
    order |= {"food_order_status": "cancelled", "cancelled_because": args["cancelled_because"]}
    return order


@write(
    "food_order_id delivery_address",
    F.object(ORDER),
    "have a food order brought to a new address",
    "change the delivery address of a food order",
)
def change_delivery_address(state: State, args: Arguments) -> Any:
    """Change the address of a food order that the kitchen is still preparing."""
    order = _order(state, args["food_order_id"], "preparing")
    order["delivery_address"] = args["delivery_address"]
    return order


@write(
    "food_order_id tip_amount",
    F.object(ORDER),
    "tip the courier of a food order",
    "leave a tip on a food order",
)
def tip_courier(state: State, args: Arguments) -> Any:
    """Tip the courier of a food order that is on the way or delivered, once per order."""
    order = _order(state, args["food_order_id"], "on_the_way", "delivered")
    require("tip_amount" not in order, "conflict", f"Food order {args['food_order_id']} has a tip already.")
    order |= {"tip_amount": args["tip_amount"], "amount_due": cents(order["amount_due"] + args["tip_amount"])}
    return order


@write(
    "food_order_id stars review_text?", F.object(ORDER), "rate a food order", "leave a review of a food order"
)
def rate_food_order(state: State, args: Arguments) -> Any:
    """Rate a delivered food order with one to five stars, once per order."""
    order = _order(state, args["food_order_id"], "delivered")
    require("stars" not in order, "conflict", f"Food order {args['food_order_id']} was rated already.")
    order |= only(args, "stars review_text")
    return order


def _orders(state: State, lacking: str, *statuses: str) -> list[str]:
    orders = state["food_orders"].items()
    return [key for key, o in orders if o["food_order_status"] in statuses and lacking not in o]


def _busiest(state: State) -> str:
    """The restaurant with the most carts."""
    places = [cart["restaurant_id"] for cart in state["carts"].values()]
    busiest: str = max(state["restaurants"], key=places.count)
    return busiest


MACHINE: Final = machine(
    "takeaway",
    "Food Delivery",
    "Food delivery: restaurants, menus, carts, orders, delivery tracking, tips and ratings.",
    domain="food_delivery",
    fields=F,
    tools=(
        list_restaurants, list_menu, find_diner, start_cart, get_cart, add_dish_to_cart, discard_cart,
        checkout_cart, list_diner_orders, get_food_order, track_delivery, cancel_food_order,
        change_delivery_address, tip_courier, rate_food_order,
    ),
    initial=initial,
    pools={
        "restaurant_id": lambda s: list(s["restaurants"]),
        "menu_item_id": lambda s: [dish["menu_item_id"] for dish in _dishes(s, _busiest(s))],
        "diner_email": lambda s: [d["diner_email"] for d in s["diners"].values()],
        "diner_id": lambda s: list(s["diners"]),
        "list_diner_orders.diner_id": lambda s: [
            k for k in s["diners"] if having(s["food_orders"], diner_id=k)
        ],
        "cart_id": lambda s: list(s["carts"]),
        "add_dish_to_cart.cart_id": lambda s: [
            cart["cart_id"] for cart in having(s["carts"], restaurant_id=_busiest(s))
        ],
        "checkout_cart.cart_id": lambda s: [k for k, cart in s["carts"].items() if cart["cart_lines"]],
        "food_order_id": lambda s: list(s["food_orders"]),
        "track_delivery.food_order_id": lambda s: _orders(s, "-", "on_the_way"),
        "cancel_food_order.food_order_id": lambda s: _orders(s, "-", "preparing"),
        "change_delivery_address.food_order_id": lambda s: _orders(s, "-", "preparing"),
        "tip_courier.food_order_id": lambda s: _orders(s, "tip_amount", "on_the_way", "delivered"),
        "rate_food_order.food_order_id": lambda s: _orders(s, "stars", "delivered"),
    },
)  # fmt: skip
