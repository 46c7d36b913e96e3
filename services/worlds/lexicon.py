"""Small word lists that plausible values are drawn from. Fixed, so that values never change."""

from __future__ import annotations

from typing import Final

from services.worlds.words import listed

FIRST_NAMES: Final = tuple(
    listed(
        "Amara Benedikt Chiara Dario Elena Farid Greta Hamza Ingrid Jonas Keiko Leandro Maren Nadia "
        "Omar Priya Quentin Rosa Soren Tamsin Umberto Vera Wanda Ximena Yusuf Zoe Astrid Bruno Celia "
        "Dmitri Esme Fiona Gustavo Hana Isaac Jelena Kofi Lucia Mateo Noor Oskar Petra Rafael Saskia "
        "Tomas Ursula Viktor Winona"
    )
)
LAST_NAMES: Final = tuple(
    listed(
        "Abbott Bergstrom Castellano Dvorak Eriksen Fontaine Garrido Hartmann Ibsen Jankowski "
        "Kowalczyk Lindqvist Moreau Nakamura Okafor Petrov Quiroga Rasmussen Santoro Takeda Ullman "
        "Varga Whitfield Yilmaz Zapata Adeyemi Bianchi Carvalho Delacroix Ekström Ferreira Grimaldi "
        "Haddad Iwata Jensen Kaplan Laurent Mbeki Novak Ortega Pereira Reyes Silva Tanaka Usmanov "
        "Vogel Weaver Ziegler"
    )
)
CITIES: Final = (
    ("Lisbon", "PT", "Portugal", 38.7223, -9.1393, "Europe/Lisbon", "Lisboa"),
    ("Denver", "US", "United States", 39.7392, -104.9903, "America/Denver", "Colorado"),
    ("Kyoto", "JP", "Japan", 35.0116, 135.7681, "Asia/Tokyo", "Kyoto Prefecture"),
    ("Ghent", "BE", "Belgium", 51.0543, 3.7174, "Europe/Brussels", "East Flanders"),
    ("Nairobi", "KE", "Kenya", -1.2921, 36.8219, "Africa/Nairobi", "Nairobi County"),
    ("Gdansk", "PL", "Poland", 54.3520, 18.6466, "Europe/Warsaw", "Pomerania"),
    ("Medellin", "CO", "Colombia", 6.2442, -75.5812, "America/Bogota", "Antioquia"),
    ("Leeds", "GB", "United Kingdom", 53.8008, -1.5491, "Europe/London", "West Yorkshire"),
    ("Adelaide", "AU", "Australia", -34.9285, 138.6007, "Australia/Adelaide", "South Australia"),
    ("Bologna", "IT", "Italy", 44.4949, 11.3426, "Europe/Rome", "Emilia-Romagna"),
    ("Portland", "US", "United States", 45.5152, -122.6784, "America/Los_Angeles", "Oregon"),
    ("Tampere", "FI", "Finland", 61.4978, 23.7610, "Europe/Helsinki", "Pirkanmaa"),
    ("Valencia", "ES", "Spain", 39.4699, -0.3763, "Europe/Madrid", "Valencian Community"),
    ("Halifax", "CA", "Canada", 44.6488, -63.5752, "America/Halifax", "Nova Scotia"),
    ("Pune", "IN", "India", 18.5204, 73.8567, "Asia/Kolkata", "Maharashtra"),
    ("Graz", "AT", "Austria", 47.0707, 15.4395, "Europe/Vienna", "Styria"),
    ("Wellington", "NZ", "New Zealand", -41.2866, 174.7756, "Pacific/Auckland", "Wellington"),
    ("Toulouse", "FR", "France", 43.6047, 1.4442, "Europe/Paris", "Occitanie"),
    ("Busan", "KR", "South Korea", 35.1796, 129.0756, "Asia/Seoul", "Yeongnam"),
    ("Curitiba", "BR", "Brazil", -25.4284, -49.2733, "America/Sao_Paulo", "Paraná"),
    ("Freiburg", "DE", "Germany", 47.9990, 7.8421, "Europe/Berlin", "Baden-Württemberg"),
    ("Galway", "IE", "Ireland", 53.2707, -9.0568, "Europe/Dublin", "Connacht"),
)  # fmt: skip
ALPHA3: Final = dict(
    pair.split(":")
    for pair in listed(
        "PT:PRT US:USA JP:JPN BE:BEL KE:KEN PL:POL CO:COL GB:GBR AU:AUS IT:ITA FI:FIN ES:ESP CA:CAN IN:IND "
        "AT:AUT NZ:NZL FR:FRA KR:KOR BR:BRA DE:DEU IE:IRL"
    )
)
STREETS: Final = (
    "Alder Street",
    "Mill Lane",
    "Harbour Road",
    "Linden Avenue",
    "Quarry Hill",
    "Station Road",
    "Orchard Close",
    "Chapel Street",
    "Riverside Drive",
    "Beacon Way",
    "Foundry Street",
    "Market Square",
)
COMPANIES: Final = (
    "Northwind Foods",
    "Brightwater Labs",
    "Calder & Sons",
    "Ironleaf Systems",
    "Solstice Energy",
    "Meridian Freight",
    "Juniper Health",
    "Copperfield Books",
    "Lumen Analytics",
    "Tidewater Logistics",
    "Granite Peak Outdoor",
    "Harvest Lane Market",
    "Bluefin Robotics",
    "Kestrel Aviation",
    "Maplewood Dental",
    "Orchid Hospitality",
    "Pinnacle Insurance",
    "Redwood Software",
    "Saffron Kitchens",
    "Vantage Media",
)
DOMAINS: Final = (
    "northwindfoods.com",
    "brightwaterlabs.io",
    "ironleaf.systems",
    "solsticeenergy.net",
    "meridianfreight.com",
    "juniperhealth.org",
    "copperfieldbooks.com",
    "lumenanalytics.io",
    "tidewaterlogistics.com",
    "granitepeak.co",
    "bluefinrobotics.com",
    "kestrelaviation.net",
    "orchidhospitality.com",
    "redwoodsoftware.dev",
    "saffronkitchens.com",
    "vantagemedia.tv",
)
ADJECTIVES: Final = tuple(
    listed(
        "amber brisk cobalt coastal crimson daily eastern emerald frosty gentle golden granite hidden "
        "indigo ivory lively lunar maple mellow misty northern olive opal quiet rapid rustic scarlet "
        "silver solar southern spring steady stellar summer swift teal urban velvet violet western "
        "winter"
    )
)
NOUNS: Final = tuple(
    listed(
        "anchor atlas aurora beacon birch canyon cascade cedar comet compass delta ember falcon fjord "
        "forge garden glacier grove harbor haven heron horizon island juniper lagoon lantern meadow "
        "mesa nebula orchard otter pebble pine prairie quartz reef ridge river saddle sparrow summit "
        "thicket timber tundra valley willow"
    )
)
PRODUCTS: Final = (
    "walnut desk lamp",
    "trail running shoes",
    "ceramic pour-over set",
    "noise-cancelling headphones",
    "linen duvet cover",
    "folding camp chair",
    "stainless water bottle",
    "wireless keyboard",
    "merino base layer",
    "cast-iron skillet",
    "travel backpack",
    "espresso grinder",
    "yoga mat",
    "bike repair kit",
    "smart thermostat",
    "leather notebook",
)
JOBS: Final = (
    "Operations Lead",
    "Account Executive",
    "Data Engineer",
    "Product Designer",
    "Support Specialist",
    "Finance Analyst",
    "Site Reliability Engineer",
    "Marketing Coordinator",
)
DEPARTMENTS: Final = (
    "Engineering",
    "Customer Success",
    "Finance",
    "Operations",
    "Marketing",
    "Legal",
    "Research",
    "Procurement",
)
TITLES: Final = (
    "Quarterly budget review",
    "Onboarding checklist for new partners",
    "Field notes from the spring survey",
    "Warehouse move: open questions",
    "Customer interviews, round two",
    "Release plan for the mobile app",
    "Annual safety inspection",
    "Community workshop summary",
    "Inventory count, week 14",
    "Supplier comparison",
    "Travel plan for the Lisbon offsite",
    "Incident report: checkout delays",
    "Draft agenda for the board meeting",
    "Shortlist of venue options",
    "Lessons from the pilot project",
    "Maintenance window announcement",
)
SENTENCES: Final = (
    "The first draft is ready and waits for a second pair of eyes.",
    "Two suppliers have confirmed; the third answers by Friday.",
    "Moved to next week because the venue was double-booked.",
    "Covers the northern region, with figures up to the end of March.",
    "Please keep the packaging, the item may have to be returned.",
    "Numbers were checked against the ledger and agree.",
    "The customer asked for a morning slot and a call beforehand.",
    "Replaces the older version that was kept in the shared folder.",
    "Everything is in place except for the final signature.",
    "A short overview for people who join the project late.",
    "The battery lasts about nine hours under normal use.",
    "Opened after three customers reported the same delay.",
)
TOPICS: Final = (
    "renewable energy storage",
    "remote work policies",
    "electric bike maintenance",
    "sourdough baking",
    "coastal erosion",
    "supply chain delays",
    "machine learning basics",
    "urban gardening",
    "affordable housing",
    "jazz festivals",
    "marathon training",
    "coffee roasting",
    "data privacy",
    "solar panel costs",
    "childhood nutrition",
    "public transport",
)
TAGS: Final = tuple(
    listed(
        "priority followup spring internal partner archive review field draft northern pilot retail onsite "
        "premium seasonal quarterly"
    )
)
CATEGORIES: Final = tuple(
    listed(
        "outdoor kitchen electronics stationery wellness travel apparel garden audio furniture office toys"
    )
)
STATUSES: Final = ("active", "pending", "completed", "open", "processing", "scheduled")
CURRENCIES: Final = ("EUR", "USD", "GBP", "CHF", "SEK", "CAD", "AUD", "JPY")
LANGUAGES: Final = (
    ("en", "English"),
    ("de", "German"),
    ("fr", "French"),
    ("es", "Spanish"),
    ("pt", "Portuguese"),
    ("it", "Italian"),
    ("nl", "Dutch"),
    ("sv", "Swedish"),
)
COLOURS: Final = ("teal", "navy", "coral", "olive", "maroon", "indigo", "amber", "charcoal")
GENRES: Final = ("drama", "documentary", "jazz", "thriller", "folk", "comedy", "ambient", "mystery")
BRANDS: Final = ("Fjellhus", "Corvane", "Talvio", "Brackwell", "Nordlys", "Amberline", "Petrichor", "Solvang")
SYMBOLS: Final = ("AAPL", "MSFT", "NVDA", "SAP", "TM", "UL", "NVO", "SHEL")
UNITS: Final = ("kg", "cm", "pcs", "litre", "hour", "km")
PLATFORMS: Final = ("web", "ios", "android", "desktop")
REGIONS: Final = ("eu-west-1", "us-east-2", "ap-southeast-1", "eu-central-1", "ca-central-1", "sa-east-1")
EXTENSIONS: Final = ("pdf", "csv", "docx", "xlsx", "png", "txt", "md")
MIME_TYPES: Final = ("application/pdf", "text/csv", "image/png", "application/json", "text/plain")
AGENTS: Final = ("Mozilla/5.0 (X11; Linux x86_64) Firefox/126.0", "Mozilla/5.0 (Macintosh) Safari/17.4")
