"""Warehouse inventory: items with stock at several sites, transfers, suppliers and purchase orders."""

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
    having,
    ids,
    lookup,
    mentioning,
    new_id,
    only,
    page,
    require,
    some_day,
)

SITES: Final = (("Rotterdam", "NL"), ("Leipzig", "DE"), ("Lyon", "FR"), ("Gdansk", "PL"))
ITEMS: Final = (
    ("Hex bolt M8 box", "fasteners", 6.4), ("Wood screw assortment", "fasteners", 9.75),
    ("Steel bracket 90 mm", "fasteners", 3.2), ("Corrugated carton large", "packaging", 1.15),
    ("Bubble wrap roll", "packaging", 14.9), ("Packing tape brown", "packaging", 2.35),
    ("Nitrile gloves box", "safety", 8.6), ("Safety goggles clear", "safety", 5.45),
    ("Ear defenders yellow", "safety", 12.8), ("LED tube 120 cm", "electrical", 7.95),
    ("Extension cable 10 m", "electrical", 18.5), ("Cable ties black", "electrical", 4.1),
)  # fmt: skip
SUPPLIERS: Final = (
    ("Brennan Industrial Supply", 4), ("Vogel & Sohn", 6), ("Atlas Packaging", 3),
    ("Nordic Safety Partner", 8), ("Lumitec Components", 5),
)  # fmt: skip
UNITS: Final = (12, 18, 25, 30, 40)

F: Final = Fields(
    query=text("search words", "Words to look for in item names."),
    limit=limit(),
    item_id=text("item number", "Identifier of a stock item, for example ITM-45019."),
    item_name=text("item", "Name of the item."),
    item_group=choice("item group", "Group of items.", ("fasteners", "packaging", "safety", "electrical")),
    unit_cost=number("unit cost", "Cost of one unit in EUR."),
    reorder_point=integer(
        "reorder point", "Stock at which the item is to be ordered again.", (60, 85, 110, 140, 175), minimum=0
    ),
    total_units=integer("total stock", "Units in stock at all warehouses together."),
    warehouse_id=text("warehouse number", "Warehouse identifier, for example WHS-13370."),
    to_warehouse_id=text("destination warehouse", "Warehouse that receives the units."),
    warehouse_city=text("city", "City the warehouse is in."),
    country_code=text("country", "Two-letter code of the country."),
    units=integer("number of units", "Number of units.", UNITS, minimum=1, maximum=500),
    units_on_hand=integer("units on hand", "Units of the item at the warehouse."),
    counted_units=integer("counted units", "Units that were counted.", (104, 127, 158, 183, 211), minimum=0),
    count_note=text("note", "Remark on the count.", (
        "Two boxes were found behind the rack", "Damaged units were sorted out",
        "Counted twice by different people", "Label was wrong on one pallet", "Returned goods were put back",
    )),
    adjustment=integer("difference", "Counted units minus the units on record."),
    movement_id=text("movement number", "Identifier of a stock movement."),
    movement_type=choice("kind of movement", "Kind of movement.", ("transfer", "count", "receipt")),
    supplier_id=text("supplier number", "Supplier identifier, for example SUP-28745."),
    supplier_name=text("supplier", "Name of the supplier."),
    lead_time_days=integer("lead time", "Days from order to delivery."),
    purchase_order_id=text("purchase order number", "Purchase order identifier, for example PUR-66120."),
    purchase_status=choice("purchase order status", "Order status.", ("sent", "received", "cancelled")),
    ordered_on=text("order date", "Date the purchase order was sent.", format="date"),
    expected_on=text("expected delivery", "Date the delivery is expected.", format="date"),
    total_cost=number("total cost", "Total cost of the purchase order in EUR."),
)  # fmt: skip

ITEM: Final = "item_id item_name item_group unit_cost"
DETAILS: Final = ITEM + " reorder_point total_units"
SITE: Final = "warehouse_id warehouse_city country_code"
STOCK: Final = "item_id warehouse_id units_on_hand"
SUPPLIER: Final = "supplier_id supplier_name lead_time_days"
PURCHASE: Final = (
    "purchase_order_id supplier_id item_id units purchase_status ordered_on expected_on total_cost "
    "warehouse_id?"
)
MOVEMENT: Final = "movement_id movement_type item_id warehouse_id units to_warehouse_id? purchase_order_id?"


def initial(rng: random.Random) -> State:
    """12 items with stock at four warehouses, 5 suppliers and 14 purchase orders."""
    state: State = {"today": some_day(rng), "last_number": {}, "movements": {}, "counts": {}}
    state["items"] = {
        item_id: {
            "item_id": item_id, "item_name": name, "item_group": group, "unit_cost": cost,
            "reorder_point": rng.randrange(100, 500),
        }
        for item_id, (name, group, cost) in zip(ids(rng, state, "ITM", len(ITEMS)), ITEMS, strict=True)
    }  # fmt: skip
    state["warehouses"] = {
        warehouse_id: {"warehouse_id": warehouse_id, "warehouse_city": city, "country_code": country}
        for warehouse_id, (city, country) in zip(ids(rng, state, "WHS", 4), SITES, strict=True)
    }
    state["stock"] = {
        item_id: {warehouse_id: rng.randrange(100, 260) for warehouse_id in state["warehouses"]}
        for item_id in state["items"]
    }
    state["suppliers"] = {
        supplier_id: {"supplier_id": supplier_id, "supplier_name": name, "lead_time_days": days}
        for supplier_id, (name, days) in zip(ids(rng, state, "SUP", 5), SUPPLIERS, strict=True)
    }
    ids(rng, state, "MOV", 1)
    statuses, state["purchases"] = cycle(rng, ("sent", "sent", "received", "cancelled"), 14), {}
    for index, purchase_order_id in enumerate(ids(rng, state, "PUR", 14)):
        item, supplier = (rng.choice(list(state[table].values())) for table in ("items", "suppliers"))
        ordered, units = day(state["today"], index - 15), 10 * rng.randrange(5, 40)
        state["purchases"][purchase_order_id] = {
            "purchase_order_id": purchase_order_id, "supplier_id": supplier["supplier_id"],
            "item_id": item["item_id"], "units": units, "purchase_status": statuses[index],
            "ordered_on": ordered, "expected_on": day(ordered, supplier["lead_time_days"]),
            "total_cost": cents(units * item["unit_cost"]),
        }  # fmt: skip
        if statuses[index] == "received":
            state["purchases"][purchase_order_id]["warehouse_id"] = rng.choice(list(state["warehouses"]))
    return state


def _details(state: State, item: Any) -> Any:
    return {**item, "total_units": sum(state["stock"][item["item_id"]].values())}


@read(
    "query item_group? limit?",
    F.listing("items", ITEM),
    "find an item in the inventory",
    "search the stock items",
)
def search_inventory(state: State, args: Arguments) -> Any:
    """Search stock items by words in the name, optionally within a group."""
    found = mentioning(having(state["items"], item_group=args.get("item_group")), args["query"], "item_name")
    return page("items", found, args["limit"], ITEM)


@read("item_id", F.object(DETAILS), "look at a stock item", "check the total stock of an item")
def get_inventory_item(state: State, args: Arguments) -> Any:
    """Get an item with its unit cost, reorder point and total stock."""
    return _details(state, lookup(state["items"], args["item_id"], "Item"))


@read(
    "limit?", F.listing("items", DETAILS), "see what is running low", "list the items that must be reordered"
)
def list_low_stock_items(state: State, args: Arguments) -> Any:
    """List the items whose total stock is within 300 units of their reorder point, lowest first."""
    found = [_details(state, item) for item in state["items"].values()]
    found.sort(key=lambda item: item["total_units"] - item["reorder_point"])
    low = [item for item in found if item["total_units"] - item["reorder_point"] < 300]
    return page("items", low or found[:1], args["limit"], DETAILS)


@read("", F.listing("warehouses", SITE), "see our warehouses", "list our warehouses")
def list_warehouses(state: State, _args: Arguments) -> Any:
    """List all warehouses with their city and country."""
    return page("warehouses", list(state["warehouses"].values()), len(state["warehouses"]), SITE)


@read(
    "item_id",
    F.listing("stock", STOCK),
    "see where an item is in stock",
    "compare an item's stock by warehouse",
)
def list_item_stock(state: State, args: Arguments) -> Any:
    """List the units of an item at each warehouse."""
    lookup(state["items"], args["item_id"], "Item")
    found = [
        {"item_id": args["item_id"], "warehouse_id": warehouse_id, "units_on_hand": units}
        for warehouse_id, units in state["stock"][args["item_id"]].items()
    ]
    return page("stock", found, len(found), STOCK)


def _move(state: State, kind: str, item_id: str, warehouse_id: str, units: int, **more: str) -> Any:
    """Changes the stock at a warehouse by ``units`` and writes it down."""
    state["stock"][item_id][warehouse_id] += units
    movement_id = new_id(state, "MOV")
    state["movements"][movement_id] = {
        "movement_id": movement_id, "movement_type": kind, "item_id": item_id, "warehouse_id": warehouse_id,
        "units": abs(units), **more,
    }  # fmt: skip
    return state["movements"][movement_id]


@write(
    "item_id warehouse_id to_warehouse_id units",
    F.object(MOVEMENT),
    "move units of an item between warehouses",
    "transfer units of an item between warehouses",
)
def transfer_stock(state: State, args: Arguments) -> Any:
    """Move units of an item from one warehouse to another. Fails when there are not enough."""
    item, source, target = args["item_id"], args["warehouse_id"], args["to_warehouse_id"]
    lookup(state["items"], item, "Item")
    for warehouse_id in (source, target):
        lookup(state["warehouses"], warehouse_id, "Warehouse")
    require(source != target, "invalid_arguments", "The two warehouses must be different.")
    left = state["stock"][item][source]
    short = f"Warehouse {source} has {left} units of item {item}, fewer than {args['units']}."
    require(args["units"] <= left, "precondition_failed", short)
    state["stock"][item][target] += args["units"]
    return _move(state, "transfer", item, source, -args["units"], to_warehouse_id=target)


@write(
    "item_id warehouse_id counted_units count_note?",
    F.object(STOCK + " movement_id adjustment count_note?"),
    "correct the stock of an item after counting",
    "record a stock count of an item",
)
def record_stock_count(state: State, args: Arguments) -> Any:
    """Set the stock of an item at a warehouse to what was counted, and say by how much it differs."""
    lookup(state["items"], args["item_id"], "Item")
    lookup(state["warehouses"], args["warehouse_id"], "Warehouse")
    difference = args["counted_units"] - state["stock"][args["item_id"]][args["warehouse_id"]]
    movement = _move(state, "count", args["item_id"], args["warehouse_id"], difference)
    count = state["counts"][movement["movement_id"]] = {
        **only(args, "item_id warehouse_id count_note"), "units_on_hand": args["counted_units"],
        "movement_id": movement["movement_id"], "adjustment": difference,
    }  # fmt: skip
    return count


@write(
    "item_id reorder_point",
    F.object(DETAILS),
    "change an item's reorder point",
    "set an item's reorder point",
)
def set_reorder_point(state: State, args: Arguments) -> Any:
    """Set the stock at which an item is to be ordered again."""
    item = lookup(state["items"], args["item_id"], "Item")
    item["reorder_point"] = args["reorder_point"]
    return _details(state, item)


@read("limit?", F.listing("suppliers", SUPPLIER), "see which suppliers we have", "list our suppliers")
def list_suppliers(state: State, args: Arguments) -> Any:
    """List suppliers with their lead time, fastest first."""
    found = sorted(state["suppliers"].values(), key=lambda supplier: supplier["lead_time_days"])
    return page("suppliers", found, args["limit"], SUPPLIER)


@read(
    "supplier_id purchase_status? limit?",
    F.listing("purchase_orders", PURCHASE),
    "see the purchase orders of a supplier",
    "list the purchase orders sent to a supplier",
)
def list_purchase_orders(state: State, args: Arguments) -> Any:
    """List the purchase orders sent to a supplier, optionally only those with a given status."""
    lookup(state["suppliers"], args["supplier_id"], "Supplier")
    status = args.get("purchase_status")
    found = having(state["purchases"], supplier_id=args["supplier_id"], purchase_status=status)
    return page("purchase_orders", found, args["limit"], PURCHASE)


@read("purchase_order_id", F.object(PURCHASE), "look at a purchase order", "check on a purchase order")
def get_purchase_order(state: State, args: Arguments) -> Any:
    """Get a purchase order with its supplier, item, cost, status and expected delivery."""
    return lookup(state["purchases"], args["purchase_order_id"], "Purchase order")


@write(
    "supplier_id item_id units",
    F.object(PURCHASE),
    "order more of an item from a supplier",
    "send a purchase order to a supplier",
)
def create_purchase_order(state: State, args: Arguments) -> Any:
    """Order units of an item from a supplier at the item's unit cost."""
    supplier = lookup(state["suppliers"], args["supplier_id"], "Supplier")
    item, purchase_order_id = lookup(state["items"], args["item_id"], "Item"), new_id(state, "PUR")
    state["purchases"][purchase_order_id] = {
        "purchase_order_id": purchase_order_id, **only(args, "supplier_id item_id units"),
        "purchase_status": "sent", "ordered_on": state["today"],
        "expected_on": day(state["today"], supplier["lead_time_days"]),
        "total_cost": cents(args["units"] * item["unit_cost"]),
    }  # fmt: skip
    return state["purchases"][purchase_order_id]


def _sent(state: State, purchase_order_id: str) -> Any:
    purchase = lookup(state["purchases"], purchase_order_id, "Purchase order")
    status = purchase["purchase_status"]
    is_open = status == "sent"
    require(is_open, "precondition_failed", f"Purchase order {purchase_order_id} is {status} already.")
    return purchase


@write(
    "purchase_order_id warehouse_id",
    F.object(MOVEMENT),
    "record the arrival of a purchase order",
    "book in a purchase order",
)
def receive_purchase_order(state: State, args: Arguments) -> Any:
    """Book the goods of a purchase order into the stock of a warehouse."""
    purchase = _sent(state, args["purchase_order_id"])
    lookup(state["warehouses"], args["warehouse_id"], "Warehouse")
    purchase |= {"purchase_status": "received", "warehouse_id": args["warehouse_id"]}
    order_id = args["purchase_order_id"]
    place = args["warehouse_id"]
    return _move(state, "receipt", purchase["item_id"], place, purchase["units"], purchase_order_id=order_id)


@write("purchase_order_id", F.object(PURCHASE), "cancel a purchase order", "call off a purchase order")
def cancel_purchase_order(state: State, args: Arguments) -> Any:
    """Cancel a purchase order that has not been received."""
    purchase = _sent(state, args["purchase_order_id"])
    purchase["purchase_status"] = "cancelled"
    return purchase


def _purchases(state: State) -> list[str]:
    return [p["purchase_order_id"] for p in having(state["purchases"], purchase_status="sent")]


MACHINE: Final = machine(
    "warehouse",
    "Warehouse Inventory",
    "Inventory of several warehouses: stock levels, transfers, counts, suppliers and purchase orders.",
    domain="logistics",
    fields=F,
    tools=(
        search_inventory, get_inventory_item, list_low_stock_items, list_warehouses, list_item_stock,
        transfer_stock, record_stock_count, set_reorder_point, list_suppliers, list_purchase_orders,
        get_purchase_order, create_purchase_order, receive_purchase_order, cancel_purchase_order,
    ),
    initial=initial,
    pools={
        "query": lambda s: [" ".join(i["item_name"].lower().split()[:2]) for i in s["items"].values()],
        "item_id": lambda s: list(s["items"]),
        "transfer_stock.item_id": lambda s: [
            item for item, at in s["stock"].items() if min(at.values()) >= max(UNITS)
        ],
        "warehouse_id": lambda s: list(s["warehouses"]),
        "transfer_stock.warehouse_id": lambda s: list(s["warehouses"])[:2],
        "to_warehouse_id": lambda s: list(s["warehouses"])[2:],
        "supplier_id": lambda s: list(s["suppliers"]),
        "list_purchase_orders.supplier_id": lambda s: [
            k for k in s["suppliers"] if having(s["purchases"], supplier_id=k)
        ],
        "purchase_order_id": _purchases,
        "get_purchase_order.purchase_order_id": lambda s: list(s["purchases"]),
    },
)  # fmt: skip
