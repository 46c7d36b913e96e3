"""An online shop: products with stock, customers, orders, shipments and returns."""

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
    day,
    email,
    find,
    having,
    ids,
    lookup,
    mentioning,
    new_id,
    only,
    page,
    people,
    require,
    some_day,
)

CATEGORIES: Final = ("audio", "kitchen", "outdoor", "office", "fitness")
GOODS: Final = (
    ("Aurora wireless headphones", "audio", 89.9), ("Pebble bluetooth speaker", "audio", 54.5),
    ("Nimbus soundbar", "audio", 199.0), ("Copperline kettle", "kitchen", 47.25),
    ("Basalt chef knife", "kitchen", 68.0), ("Juniper stand mixer", "kitchen", 239.99),
    ("Ridgeway two-person tent", "outdoor", 174.0), ("Fernhill hiking backpack", "outdoor", 119.5),
    ("Lakeside folding chair", "outdoor", 39.95), ("Meridian desk lamp", "office", 42.8),
    ("Quillon ergonomic keyboard", "office", 129.0), ("Northlight monitor arm", "office", 84.75),
    ("Tempo yoga mat", "fitness", 31.5), ("Granite kettlebell", "fitness", 58.9),
)  # fmt: skip
RETURN_WINDOW_DAYS: Final = 30

F: Final = Fields(
    query=text("search words", "Words to look for in product names."),
    category=choice("product category", "Product category.", CATEGORIES),
    max_price=number("highest price", "Only products up to this price.", (60.0, 90.0, 120.0, 180.0, 240.0)),
    limit=limit(),
    product_id=text("product number", "Product identifier, for example PRD-20418."),
    product_name=text("product name", "Name of the product."),
    price=number("price", "Price per unit in USD."),
    units_in_stock=integer("units in stock", "Units that can be ordered now."),
    rating=number("rating", "Average customer rating from 1 to 5."),
    customer_id=text("customer number", "Customer identifier, for example CUS-31772."),
    customer_name=text("customer name", "Full name of the customer."),
    customer_email=text("email address", "Email address the account is registered with.", format="email"),
    default_address=text("default address", "Address that orders go to unless another one is given."),
    order_id=text("order number", "Order identifier, for example ORD-48213."),
    order_status=choice(
        "order status",
        "Status of the order.",
        ("processing", "shipped", "delivered", "cancelled", "returned"),
    ),
    placed_on=text("order date", "Date the order was placed.", format="date"),
    order_total=number("order total", "Total of the order in USD, after discounts."),
    quantity=integer("quantity", "Number of units.", (1, 2, 3, 4, 5), minimum=1, maximum=20),
    shipping_address=text(
        "delivery address",
        "Full postal address that the order is delivered to.",
        (
            "18 Orchard Hill, Fairview 48210",
            "7 Millrace Court, Dunmore 60417",
            "231 Cedar Bend Road, Eastport 21904",
            "56 Old Station Yard, Glenwood 73115",
            "402 Larkspur Street, Ashford 35528",
        ),
    ),
    shipment_id=text("shipment number", "Shipment identifier, present once the order has shipped."),
    carrier=text("carrier", "Company that carries the parcel."),
    tracking_number=text("tracking number", "Tracking number at the carrier."),
    shipment_status=choice("shipment status", "Where the parcel is.", ("in_transit", "delivered")),
    estimated_delivery=text("expected delivery date", "Expected or actual delivery date.", format="date"),
    delivered_on=text("delivery date", "Date of delivery, present once delivered.", format="date"),
    cancellation_reason=choice(
        "reason for cancelling",
        "Why the order is cancelled.",
        ("changed_mind", "ordered_by_mistake", "found_cheaper", "arrives_too_late"),
        default="changed_mind",
    ),
    refund_amount=number("refund", "Amount paid back in USD."),
    return_id=text("return number", "Return identifier, for example RET-70325."),
    return_reason=text(
        "reason for returning",
        "What is wrong with the goods, in the customer's words.",
        (
            "The left side stopped working after two days",
            "It is smaller than it looked in the pictures",
            "The box arrived dented and a part is broken",
            "I received a different colour from the one I ordered",
            "It does not fit the space I bought it for",
        ),
    ),
    return_status=choice("return status", "Status of the return.", ("awaiting_parcel", "refunded")),
    promotion_code=text("promotion code", "Discount code of a current promotion, for example SPRING15."),
    percent_off=integer("discount", "Discount in percent."),
)  # fmt: skip
F["line_items"] = array("Items of the order.", F.object("product_id product_name quantity price"))

PRODUCT: Final = "product_id product_name category price units_in_stock"
CUSTOMER: Final = "customer_id customer_name customer_email default_address"
SUMMARY: Final = "order_id order_status placed_on order_total shipment_id?"
ORDER: Final = (
    "order_id customer_id order_status placed_on line_items order_total shipping_address promotion_code? "
    "shipment_id? delivered_on? cancellation_reason? refund_amount? return_id?"
)
SHIPMENT: Final = "shipment_id order_id carrier tracking_number shipment_status estimated_delivery"
RETURN: Final = "return_id order_id return_reason return_status refund_amount"


def initial(rng: random.Random) -> State:
    """A shop with 14 products, 8 customers and 20 orders, four of each of five statuses."""
    state: State = {"today": some_day(rng), "last_number": {}, "returns": {}, "shipments": {}}
    state["products"] = {
        product_id: {
            "product_id": product_id, "product_name": name, "category": category, "price": price,
            "units_in_stock": rng.randrange(24, 90), "rating": rng.randrange(34, 50) / 10,
        }
        for product_id, (name, category, price) in zip(ids(rng, state, "PRD", len(GOODS)), GOODS, strict=True)
    }  # fmt: skip
    state["customers"] = {
        customer_id: {
            "customer_id": customer_id, "customer_name": name,
            "customer_email": email(name, "brightmail.net"), "default_address": address(rng),
        }
        for customer_id, name in zip(ids(rng, state, "CUS", 8), people(rng, 8), strict=True)
    }  # fmt: skip
    codes = rng.sample(("SPRING15", "WELCOME10", "LOYAL20", "BUNDLE12", "WEEKEND5", "THANKS25"), 4)
    state["promotions"] = {code: int("".join(filter(str.isdigit, code))) for code in codes}
    order_ids = ids(rng, state, "ORD", 20)
    statuses = cycle(rng, ("processing", "processing", "shipped", "delivered", "cancelled"), 20)
    shipment_ids = iter(ids(rng, state, "SHP", 20))
    ids(rng, state, "RET", 1)
    owners = cycle(rng, state["customers"].values(), 20)
    for index, (order_id, status, owner) in enumerate(zip(order_ids, statuses, owners, strict=True)):
        chosen = rng.sample(list(state["products"].values()), rng.randrange(1, 4))
        lines = [
            {**only(p, "product_id product_name price"), "quantity": rng.randrange(1, 4)} for p in chosen
        ]
        order = {
            "order_id": order_id, "customer_id": owner["customer_id"], "order_status": status,
            "placed_on": day(state["today"], index - 22), "line_items": lines,
            "order_total": cents(sum(line["price"] * line["quantity"] for line in lines)),
            "shipping_address": owner["default_address"],
        }  # fmt: skip
        if status == "cancelled":
            order |= {"cancellation_reason": "found_cheaper", "refund_amount": order["order_total"]}
        if status in {"shipped", "delivered"}:
            order["shipment_id"] = shipment_id = next(shipment_ids)
            arrives = day(
                state["today"], rng.randrange(1, 5) if status == "shipped" else -rng.randrange(1, 3)
            )
            state["shipments"][shipment_id] = {
                "shipment_id": shipment_id, "order_id": order_id,
                "carrier": rng.choice(("Swiftline", "Parcel Union", "Northern Post")),
                "tracking_number": f"TRK{rng.randrange(10**9, 10**10)}",
                "shipment_status": "in_transit" if status == "shipped" else "delivered",
                "estimated_delivery": arrives,
            }  # fmt: skip
            if status == "delivered":
                order["delivered_on"] = arrives
        state["orders"] = {**state.get("orders", {}), order_id: order}
    return state


@read(
    "query category? max_price? limit?",
    F.listing("products", PRODUCT),
    "search for products",
    "find products in the shop",
)
def search_products(state: State, args: Arguments) -> Any:
    """Search the product catalog by words in the name, optionally within a category or up to a price."""
    found = having(state["products"], category=args.get("category"))
    found = mentioning(found, args["query"], "product_name")
    found = [product for product in found if product["price"] <= args.get("max_price", product["price"])]
    return page("products", found, args["limit"], PRODUCT)


@read("product_id", F.object(PRODUCT + " rating"), "look at a product", "check price and stock of a product")
def get_product(state: State, args: Arguments) -> Any:
    """Get price, stock and rating of one product."""
    return lookup(state["products"], args["product_id"], "Product")


@read("customer_email", F.object(CUSTOMER), "look up a customer", "find a customer by email")
def find_customer(state: State, args: Arguments) -> Any:
    """Find a customer account by the email address it is registered with."""
    return find(state["customers"], "customer_email", args["customer_email"], "customer")


@read(
    "customer_id order_status? limit?",
    F.listing("orders", SUMMARY),
    "see which orders a customer has placed",
    "get a customer's order history",
)
def list_customer_orders(state: State, args: Arguments) -> Any:
    """List the orders of a customer, latest first, optionally only those with a given status."""
    lookup(state["customers"], args["customer_id"], "Customer")
    found = having(state["orders"], customer_id=args["customer_id"], order_status=args.get("order_status"))
    return page("orders", sorted(found, key=lambda o: o["placed_on"], reverse=True), args["limit"], SUMMARY)


@read("order_id", F.object(ORDER), "look at the details of an order", "check on an order")
def get_order(state: State, args: Arguments) -> Any:
    """Get an order with its items, total, delivery address and, once it has shipped, its shipment."""
    return lookup(state["orders"], args["order_id"], "Order")


@read("shipment_id", F.object(SHIPMENT), "check on a shipment", "track a shipment")
def get_shipment(state: State, args: Arguments) -> Any:
    """Get carrier, tracking number and expected delivery date of a shipment."""
    return lookup(state["shipments"], args["shipment_id"], "Shipment")


@read(
    "limit?",
    F.listing("promotions", "promotion_code percent_off"),
    "see the current promotions",
    "list the current promotions",
)
def list_promotions(state: State, args: Arguments) -> Any:
    """List the promotions that run today with their discount codes."""
    running = [{"promotion_code": code, "percent_off": off} for code, off in state["promotions"].items()]
    return page("promotions", running, args["limit"], "promotion_code percent_off")


@write(
    "customer_id product_id quantity shipping_address?",
    F.object(ORDER),
    "order a product for a customer",
    "place an order for a customer",
)
def place_order(state: State, args: Arguments) -> Any:
    """Place an order for one product; it goes to the customer's default address unless another is given.

    Fails with a conflict when fewer units are in stock than were ordered.
    """
    customer = lookup(state["customers"], args["customer_id"], "Customer")
    product, quantity = lookup(state["products"], args["product_id"], "Product"), args["quantity"]
    left = product["units_in_stock"]
    require(quantity <= left, "conflict", f"Only {left} units of {product['product_name']} are in stock.")
    product["units_in_stock"] -= quantity
    order_id = new_id(state, "ORD")
    state["orders"][order_id] = {
        "order_id": order_id, "customer_id": args["customer_id"], "order_status": "processing",
        "placed_on": state["today"],
        "line_items": [{**only(product, "product_id product_name price"), "quantity": quantity}],
        "order_total": cents(product["price"] * quantity),
        "shipping_address": args.get("shipping_address", customer["default_address"]),
    }  # fmt: skip
    return state["orders"][order_id]


def _processing(state: State, order_id: str, action: str) -> Any:
    order = lookup(state["orders"], order_id, "Order")
    status = order["order_status"]
    changeable = status == "processing"
    require(changeable, "precondition_failed", f"Order {order_id} is {status} and can't be {action}.")
    return order


@write("order_id cancellation_reason?", F.object(ORDER), "cancel an order", "call off an order")
def cancel_order(state: State, args: Arguments) -> Any:
    """Cancel an order that has not shipped yet; its items go back into stock and its total is refunded."""
    order = _processing(state, args["order_id"], "cancelled")
    for line in order["line_items"]:
        state["products"][line["product_id"]]["units_in_stock"] += line["quantity"]
    order |= {
        "order_status": "cancelled",
        "cancellation_reason": args["cancellation_reason"],
        "refund_amount": order["order_total"],
    }
    return order


@write(
    "order_id shipping_address",
    F.object(ORDER),
    "have an order delivered to a new address",
    "change the delivery address of an order",
)
def change_shipping_address(state: State, args: Arguments) -> Any:
    """Change the delivery address of an order that has not shipped yet."""
    order = _processing(state, args["order_id"], "redirected")
    order["shipping_address"] = args["shipping_address"]
    return order


@write(
    "order_id promotion_code",
    F.object(ORDER),
    "use a promotion code on an order",
    "apply a promotion code to an order",
)
def apply_promotion(state: State, args: Arguments) -> Any:
    """Apply a discount code to an order that has not shipped yet. An order takes one code only."""
    order, code = _processing(state, args["order_id"], "discounted"), args["promotion_code"]
    percent = lookup(state["promotions"], code, "Promotion")
    require("promotion_code" not in order, "conflict", f"Order {args['order_id']} has a discount already.")
    order |= {"promotion_code": code, "order_total": cents(order["order_total"] * (100 - percent) / 100)}
    return order


@write("order_id return_reason", F.object(RETURN), "return an order", "send an order back for a refund")
def request_return(state: State, args: Arguments) -> Any:
    """Open a return for an order delivered within the last 30 days."""
    order_id = args["order_id"]
    order = lookup(state["orders"], order_id, "Order")
    status = order["order_status"]
    require(status == "delivered", "precondition_failed", f"Order {order_id} is {status}, not delivered.")
    recent = order["delivered_on"] >= day(state["today"], -RETURN_WINDOW_DAYS)
    require(recent, "precondition_failed", f"The return window of order {order_id} has closed.")
    return_id = new_id(state, "RET")
    order |= {"order_status": "returned", "return_id": return_id}
    state["returns"][return_id] = {
        "return_id": return_id, "order_id": order_id, "return_reason": args["return_reason"],
        "return_status": "awaiting_parcel", "refund_amount": order["order_total"],
    }  # fmt: skip
    return state["returns"][return_id]


def _orders(state: State, **fields: Any) -> list[Any]:
    return [order["order_id"] for order in having(state["orders"], **fields)]


MACHINE: Final = machine(
    "shop",
    "Shop Orders",
    "Online shop back office: product catalog, customer accounts, orders, shipments, promotions and returns.",
    domain="ecommerce",
    fields=F,
    tools=(
        search_products, get_product, find_customer, list_customer_orders, get_order, get_shipment,
        list_promotions, place_order, cancel_order, change_shipping_address, apply_promotion, request_return,
    ),
    initial=initial,
    pools={
        "query": lambda s: [p["product_name"].split()[-1] for p in s["products"].values()],
        "product_id": lambda s: list(s["products"]),
        "place_order.product_id": lambda s: [k for k, p in s["products"].items() if p["units_in_stock"] >= 5],
        "customer_email": lambda s: [c["customer_email"] for c in s["customers"].values()],
        "customer_id": lambda s: list(s["customers"]),
        "order_id": lambda s: list(s["orders"]),
        "cancel_order.order_id": lambda s: _orders(s, order_status="processing"),
        "change_shipping_address.order_id": lambda s: _orders(s, order_status="processing"),
        "apply_promotion.order_id": lambda s: [
            k for k in _orders(s, order_status="processing") if "promotion_code" not in s["orders"][k]
        ],
        "request_return.order_id": lambda s: _orders(s, order_status="delivered"),
        "shipment_id": lambda s: list(s["shipments"]),
        "promotion_code": lambda s: list(s["promotions"]),
    },
)  # fmt: skip
