"""Plain English words that tools and parameters are named with: what a person can say.

Ours: words that descriptions of many different services use in prose, and everyday nouns. A name made of
other words (codes, run-together words, internal terms) is no name that a user would say. Fixed, so that
plans never change.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from services.worlds.words import ACRONYMS, label, listed, singular, spoken

EXPANDED: Final = {
    "req": "request", "qty": "quantity", "addr": "address", "org": "organization", "msg": "message",
    "acct": "account", "num": "number", "no": "number", "desc": "description", "lang": "language",
    "orgs": "organizations", "msgs": "messages", "nums": "numbers", "langs": "languages",
    "img": "image", "doc": "document", "docs": "documents", "pwd": "password",
    "dept": "department", "amt": "amount", "cust": "customer", "emp": "employee", "mgr": "manager",
    "txn": "transaction", "tx": "transaction", "trans": "transaction", "inv": "invoice",
    "freq": "frequency", "temp": "temperature", "lat": "latitude", "lng": "longitude", "lon": "longitude",
    "prev": "previous", "curr": "current", "src": "source", "dest": "destination", "dst": "destination",
    "ref": "reference", "refs": "references", "repo": "repository", "repos": "repositories",
    "env": "environment", "envs": "environments", "pkg": "package", "cfg": "configuration",
    "config": "configuration", "configs": "configurations", "param": "parameter", "params": "parameters",
    "attr": "attribute", "attrs": "attributes", "auth": "authorization", "admin": "administrator",
    "cmd": "command", "ctx": "context", "dir": "directory", "dirs": "directories", "fname": "first name",
    "lname": "last name", "firstname": "first name", "lastname": "last name", "fullname": "full name",
    "username": "username", "dob": "date of birth", "tel": "phone", "mob": "mobile", "pic": "picture",
    "pics": "pictures", "info": "information", "stats": "statistics", "asin": "product code",
    "pageno": "page number", "fromdate": "from date", "todate": "to date", "startdate": "start date",
    "enddate": "end date", "starttime": "start time", "endtime": "end time", "createdate": "creation date",
    "cert": "certificate", "certs": "certificates", "gid": "id", "guid": "id", "uid": "id",
}  # fmt: skip
"""Abbreviations as people say them."""

WORDS: Final = frozenset(
    listed(
        """
abilities ability about above absolute accept accepted accepting accepts access accessed accessible
account accounting accounts accuracy accurate acknowledge acknowledged acknowledgement across action
actions activate activated activation activations active activities activity actor actual add added
addition additional additions addon addons address addresses adjusted admin administration
administrative administrator administrators admins advance advanced affected after again age agent
agents aggregate aggregated aggregates aggregation agreement airline airport airports alarm album albums
alert alerts algorithm alias aliases allergy alliance allocation allocations allow allowed allows along
alphabet also alternative alternatives alway always ambulance amendment amenity amount amounts analyses
analysis analytics analyzed animal annotation annotations announcement announcements annuity anonymous
another answer answers antonym apartment app appeal applicable applicant application applications
applied applies apply appointment appointments approval approvals approve approved approximate
architecture architectures archive archived archives area areas argument arguments around array arrays
arrest arrival arrivals article articles artifact artifacts artist artists ascending aspect aspects
assertion assessment asset assets assign assigned assignment assignments associate associated
association associations asteroid athlete attach attached attachment attachments attempt attempts
attendee attendees attorney attribute attributes audience audiences audio audit audits authenticate
authenticated authentication author authorisation authorization authorizations authorize authorized
authors auto autocomplete autocompletes automated automatic automation automations availabilities
availability available avatar avatars average averages avoid awaiting back backend background
backgrounds backup backups badge badges bag baggage bakery balance balances ballot band bandwidth bank
banks banner barcode base based basic basis basket batch batches bathroom bearer bed beer before begin
beginning behalf behavior behaviors being belong belongs below beneficiary benefit berth best beta betas
betting between bicycle bill billing bills binary bird birth block blockchain blockchains blocked blocks
board boards boat bodies body bond bonus book booking bookings bookmaker books boot bootstrap borrower
bottle bound bounds box boxes branch branches brand brands bread break breakdown breakfast breed brewery
bridge broadcast broadcasts broker browser browsers bucket buckets budget build builds built bulk bundle
bundles bus business butcher buyer buyers bypass cache cached caching cafe calculate calculated
calculation calculations calendar calendars call callback callbacks caller calls camera camp campaign
campaigns campus cancel canceled cancellation cancellations cancelled cancels candidate capabilities
capability capacities capacity capture captures car card cards cargo carpet carrier carriers cars cart
carts case cases cash castle cat catalog catalogs catalogue categories categorize category cattle cause
causes cell cells census center centers cereal certificate certificates chain chains chair champion
change changed changes channel channels chapter chapters character characters charge charger charges
charging chart charts chat check checking checkout checks cheese chef chess child children choice
choices choir church cinema citation cities city claim claimed claims class classes classification
classifications classified clause clear click clicks client clients clinic clip clips clone clones close
closed closest clothe clothes cloud cluster clusters coach code codes coffee collaboration collaborator
collaborators collateral collect collected collection collections college color colors colour column
columns combination combined comic coming command commands comment comments commit committee commodity
common commons communication communications community companies company compatible complete completed
completion completions complex complexity compliance component components composer comprehensive compute
concept concert concurrent condition conditions conference configurable configuration configurations
configure configured confirm confirmation confirmations confirmed confirms conflict conflicts connect
connected connection connections connectivity connector connectors consent consents consider console
constellation constraint constraints consumer consumers consumption contact contacts contain contained
container containers containing contains content contents context contexts continent continents continue
continuous contract contracts contribution contributions contributor contributors control controls
convenience conversation conversations conversion conversions convert cook cookie cookies coordinate
coordinates copy core corporation correct correlation correlations cost costs count countries country
counts county couple coupon coupons course courses court cousin cover cow create created creation
creature credential credentials credit credits crime criteria criterion crop cross cruise curated
currencies currency current currently curriculum cursor custom customer customers customized customs
cyclist daily dance dashboard dashboards data database databases dataset datasets date dates day days
deactivate deal dealer debug decimal decimals declaration declined dedicated deed default defaults
define defined definition definitions degree delay delegated delete deleted deletion deletions deliver
delivered delivery demand demographic denied dentist department departments depend dependencies
dependency dependent dependents depends deployed deployment deployments deposit deprecated derived
descending describe described description descriptions design desk destination destinations destiny
destroy detail detailed details detect developer developers device devices diagnosis diagnostic dialect
diary dictionaries dictionary diet difference digit digital digits dimension dimensions dinner diploma
direct director directory disable disabled disassociate discount discover discovery dish disk disks
display displayed dispute disputes disruption distance distances distinct distribute distributed
distribution distributions district districts dividend division docket doctor document documentation
documents dog domain domains done donor door dormitory dose down download downloads draft drawing dress
drink drive driver drivers drives drug due dungeon duration during dynamic eagle ear earthquake easy
edit edited editor editorial editors edits effect effective effects efficient effort egg election
electronic element elements eligibility eligible email emails embedded emergency emoji employee
employees empty enable enabled encode encoded encoding encrypt encrypted encryption end endpoint
endpoints ends energy enforced engine engineer engines enhanced enrollment enter entered enterprise
enterprises entire entities entitlement entitlements entity entries entry environment environments
episode episodes equal equals equipment equipments equivalent error errors essay estimated evaluated
event events every evidence exact exam example examples exception exceptions exchange exclude excluded
excludes execute execution executions exercise exhibition exist existing exists expanded expected
expense expenses experience experimental expiration expirations expire expired expires expiry explicit
export exported exports express expression expressions extended extension extensions external extra
extract extracts extras facet facets facilities facility fact factor factors factory faculty fail failed
failover failure failures families family fare fares farm farmer fast faster father favorite favorites
feature featured features fee feed feedback feedbacks feeds fees ferry fetch field fields fighter file
filed files film filter filtered filtering filters final financial find finding findings finish finished
firewall firewalls first fish fitness fix fixed fixture flag flags fleet fleets flight flights flow
flower flows folder folders follow followed follower followers following followings follows font food
foods football for force forecast forest fork forks form format formats formatted forms formula formulas
forwarding found four frame frames free freight frequency friend friends from frozen fruit fuel
fulfillment fulfillments full function functionalities functionality functions fund funding fundings
funds furniture future galaxy game games garage garden gate gateway gateways gender gene general
generate generated generating generation generic genes genre genres geo geofence get gift gifts girl
given glass global glyph goal goat going gold golf google grade grain grant granted grants granularity
grape graph graphs grass greater grid grocery group grouped grouping groups guarantee guest guests guide
guild guitar gym hair hand handle handles handling happen happens harbour hardware has hash hashes hat
head header headers health heart height held help hidden hierarchical hierarchy high hill historic
historical histories history hit hits hold holder holders holding holdings holds holiday holidays home
homepage homework honey hook hooks horse hospital host hosted hosting hostings hosts hotel hotels hour
hourly hours house household households hub human humidity hunter ice icon icons identifier identifiers
identities identity idiom ignored image images immunization immutable impact implementation import
imported imports inactive inbound inbox inboxes incident incidents include included including income
incomes incoming increase independent index indexes indicator individual individuals industries industry
info information infos inherited initial initials initiate initiated initiation injury inning innings
input inputs insect insert inside insight insights inspect inspection installation installed instance
instances instant institution institutions instruction instructions instrument instruments insurance
insurances integer integration integrations intended intent interaction interactions interest interests
interface interfaces internal internet interval intervals interview into invalid inventories inventory
invitation invitations invite invited invites invoice invoices invoke island issue issued issuer issuers
issues item items itinerary its jacket job jobs jockey join journal journals judge juice jurisdiction
jurisdictions just keep key keys keyword keywords killmail kind kinds king kitchen knife know known
knows lab label labels labs lake lamp landlord language languages large last lat latest latitude law
lawyer layer layers lead leader league lease leave lecture ledger left leg legacy legal lender length
less lesson let lets letter level levels libraries library license licenses lifecycle lifetime like
liked likes limit limited limits line lines lineup link linked linking links lion list listed listing
listings lists literacy live liveness load loan local locale locales located location locations lock
locked locks lodging log logged logging logic login logins logo logos logout logs long longitude look
lookup lookups lower lunch lyric machine machines made magazine mail mails main maintenance maintenances
major make manage managed management manager managers managing mandatory manifest manifests manual
manually many map mapped mapping mappings maps marathon margin margins mark marked market marketing
marketplace marketplaces markets marks marriage master masters match matched matches matching material
materials matter matters maximum meal measure measurement meat mechanism medal media medias medicine
meet meeting meetings meets melody member members membership memberships meme memo memory mention
mentioned mentions merchant merchants merge merges message messages messaging meta metadata metas meter
meters method methods metric metrics migrate migration mile miles milk mine minimal minimum minute
minutes mirror missing mobile mode model models moderator moderators modes modification modified modify
module modules money monitor monitored monitoring monitors month monthly months moon more mortgage most
mother mountain mouse move moved movie multipart multiple museum music must name named names namespace
namespaces naming native near nearby need needed needs negative neighbor neighbors neighbour net network
networks new newer newest news newspaper next night node nodes normal normalized normals not notary note
notes notification notifications notified notify now null nulls number numbers numeric nurse oauth
object objects observation observations obtain occurred occurrence occurrences ocean odd odds off offer
offers office offices official offline offset oil old oldest onboarded onboarding once one ongoing
online only open opened openid opening opera operating operation operational operations opted optimal
option optional options orchestra order ordered orders org organisation organisations organization
organizational organizations origin original origins other our out outbound outgoing output outputs
outside over overall override overrides overtime overview overwrite overwrites own owned owner owners
ownership package packages page paged pages paginate paginated pagination paging paid paint painter
painting pair pairs pallet paper paragraph parameter parameters parcel parent parents park parliament
parse part partial participant participants parties partner partners parts party pass passenger passing
passport password passwords past patch path paths patient patients pattern patterns pause paused pay
payer payload payloads payment payments payout payouts payroll pays payslip peer peers pen pending
pension people per percentage percentages perform performance performed period periodic periods
permission permissions permit persist persisted persistent person personal persons pet petition pharmacy
phone phones photo photos phrase physical physician piano pickup pickups piece pieces pilot pin ping
pings pins pipeline pipelines pizza place placed places plain plan planet planning plans plant platform
platforms play playback played player players playlist playlists plays please plugin plugins plumber
plus podcast poem poet point pointing points police policies policy politician poll pollen polling polls
pollution polygon polygons pool pools popular populate population port portal portfolio portfolios ports
position positions positive possibly post postal postcode postcodes posted poster posters posting posts
potential poverty power powers prayer precinct preference preferences prefix prefixes premium prepare
prescription presence presences present president presigned pressure preview previews previous
previously price prices pricing priest primary principal principals print priorities priority prison
privacy private privilege privileges prize problem problems process processed processes processing
product production products professor profile profiles program programs progress project projected
projects promotion promotions pronunciation properties property protected protection protections protest
protocol protocols provide provided provider providers provision provisioned provisioning proxies proxy
psychology public publication publications publicly publish published publisher publishers pull purchase
purchased purchases purpose purposes push put puzzle qcolumn qcolumns qualification quality quantity
queen queries query quest question questions queue queued queues quick quiz quota quotas quote quotes
race racecourse radio radius rain raised random range ranges rank ranks rate rates rating ratings raw
reachable react reaction reactions read reads ready real realtime reason reasons receipt receipts
receive received receiver recent recently recents recipe recipes recipient recipients recommend
recommendation recommendations recommended record recording recordings records recover recoverable
recovery recurring redirect redirects refer referee reference references referred refers refine refresh
refund refunds region regional regions register registered registers registrant registrants registration
registrations registries registry regular regulation reject rejected rejection rejects related relation
relations relationship relationships relative release released releases relevant religion remaining
remote remotes removal remove removed render rendering renders renewal rent rental rentals replace
replaces replication replies reply replys report reported reporter reporting reports repositories
repository representation representations representative reputation request requested requester requests
require required requirement requirements requires reservation reservations reserved reset resolution
resolutions resolve resolved resource resources response responses restart restaurant restore restores
restrict restricted restriction restrictions result results resume retained retention retirement
retrieval retrieve retrieved retry return returned returning returns revenue reverse reversed review
reviews revision revisions revocation revoke reward right rights ring risk river road robot role roles
rollback room rooms root roots rose roster rotation route routes routing row rows rugby rule rules run
runner runners running runs runtime safe sailor salad salary sale sales same sample samples sandwich
satellite save saved saving savings scaling scan scanning scans scenario scenarios scene schedule
scheduled schedules scheduling schema schemas scheme schemes scholarship school science scientist scope
scoped scopes score scorecard scores screen screenshot screenshots script scripts sea search searchable
searches season seasons seat second secondary seconds secret secrets section sections secure securities
security see seen segment segments select selected selection selections sell seller sellers senator send
sender senders sending sends sensitive sensor sent sentence sentiment sentiments separate sequence
sequences serial serials series server servers service services session sessions set sets setting
settings setup several severity shade share shared shares sharing sheep shift ship shipment shipments
shipped shipping shippings ships shirt shoe shop shopper shopping short show shows side sign signal
signals signature signed signing similar similarity similars simple simulate simulates since singer
single sire sister site sites size sizes skill skipped sky slug smart smarts snapshot snapshots snow
soap soccer social software soldier solution solutions song soon sort sorting sound sounds source
sources space spaces speak spec special specials species specific specification specifications specified
specimen specs speech speed spell split splits spouse squad square squares stadium stage stages
standalone standard standards standing standings star stars start started starting starts state
statement statements states static station stations statistics stats statue status statuses statute step
steps sticker stock stocks stop stops storage store stored stores stories storm story strategies
strategy stream streaming streams street string strings structure structured structures student style
styles sub subject subjects submission submissions submit submitted subscribe subscribed subscriber
subscribers subscription subscriptions subset subsets substance substances suburb subway succeed
succeeds success successful sugar suggest suggested suggestion suggestions suggests suit suite sum
summaries summary summer sun sunrise sunset super supplied supplier supply support supported supporting
supports surgeon suspend suspended swimmer switch switches symbol symbols symptom sync synchronous syncs
synonym system systems tab table tables tablet tabular tag tagged tags tailor take taken tank target
targeted targeting targets tariff task tasks tax taxes taxi teacher team teams technical technique
temperature template templates temporary tenancy tenant tenants tennis term terminal terminals terminate
terminated termination terms territory test tests text texts the theatre theme therapy third three
thumbnail thumbnails ticket tickets tide tier tiers time timeframe timeline timelines timeout timeouts
times timeseries timesheet timespan timespans timestamp timestamps timezone timezones title today todays
together token tokens tool tools top topic topics total totals tower town toy track tracking tracks
traffic train trainer training tram transaction transactions transcript transfer transfers transition
transitions translate translated translation translations trash treasure treasury treatment tree trend
trending trends trial trials tries trigger triggered triggers trip truck true try tuition turn turns
tutor two type types unassigned uncle uniform unique unit units universe university unknown unlock
unread unsubscribe upcoming update updated updates upgrade upgrades upload uploaded uploads uptime usage
usages use used user username usernames users uses using vacancy vaccine valid validate validating
validation validations validity valley value values variable variables variant variants vault vaults
vegetable vehicle vehicles vendor vendors venue venues verdict verification verifications verified
verify verse version versions vessel video videos view viewed views village violation violin virtual
visibility visible voice voices volcano volume volumes vote voucher vulnerabilities vulnerability wage
wait waiting wallet wallets want wants war warehouse warning warnings was watch watched watching
watchlist watchlists water wave way weapon weather web webhook webhooks webinar website websites wedding
week weekly weeks weight welcome well wheel where whole widget width wife wiki wind window windows wine
winner winter wish with within witness woman word words work worker workers workflow workflows working
workload workloads workspace workspaces world write writer writes written yacht year years zero zip zone
zones zoning zoo
"""
    )
)


@lru_cache(maxsize=65536)
def is_word(word: str) -> bool:
    """Whether a lower-case word is plain English, in the singular or plural."""
    return word in WORDS or singular(word) in WORDS


@lru_cache(maxsize=65536)
def apart(word: str) -> tuple[str, ...]:
    """A run-together word as its two or three plain words ("driverlocation"); itself where it is none."""
    if is_word(word) or not word.isalpha():
        return (word,)
    ending = next((end for end in ("ids", "id") if word.endswith(end)), "")
    if ending and is_word(word.removesuffix(ending)):
        return (word.removesuffix(ending), ending)
    if len(word) < 7:
        return (word,)
    for middle in range(len(word) - 3, 2, -1):
        first, rest = word[:middle], word[middle:]
        if is_word(first) and is_word(rest):
            return (first, rest)
    for middle in range(len(word) - 3, 2, -1):
        first, others = word[:middle], apart(word[middle:])
        if is_word(first) and len(others) == 2:
            return (first, *others)
    return (word,)


def in_words(words: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Tokens as a person says them: abbreviations in full, run-together words apart, none twice in a row."""
    said: list[str] = []
    for at, word in enumerate(words):
        if word == "no" and at < len(words) - 1:
            parts: tuple[str, ...] = (word,)
        elif word in EXPANDED:
            parts = tuple(EXPANDED[word].split())
        else:
            parts = tuple(EXPANDED.get(part, part) for part in apart(word))
        said.extend(part for part in parts if not said or part != said[-1])
    return tuple(said)


@lru_cache(maxsize=65536)
def called(identifier: str) -> str:
    """How a person calls a parameter or a field: ``"fromdate_req"`` gives "from date request".

    The type at its end is not said: a "queryString" is a query.
    """
    words = label(identifier).lower().split()
    if len(words) > 1 and words[-1] in {"string", "str"}:
        words.pop()
    return spoken(in_words(tuple(words))) or "value"


@lru_cache(maxsize=65536)
def is_sayable(phrase: str) -> bool:
    """Whether all words of a noun phrase are plain English, or acronyms that people use."""
    words = phrase.replace("-", " ").split()
    return bool(words) and all(is_word(word.lower()) or word.lower() in ACRONYMS for word in words)
