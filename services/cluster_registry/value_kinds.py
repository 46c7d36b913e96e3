"""Kinds of values that mean the same on every server: a URL, a place, a ticker symbol, a DOI.

The table is ours, gathered from reading real servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from services.cluster_registry.text import word_set


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    ``parameters``: the names (words joined by "_") that a parameter has which takes it; ``about``: what its
    tool and description must speak of, and ``unless``: must not. ``found``: what a tool without output
    schema must speak of to yield it, ``by``: with one of these verbs. ``fields``: what it is called in
    an output schema. ``given``: a tool with one of these parameters does not yield it, but has it.
    """

    name: str
    parameters: frozenset[str]
    about: re.Pattern[str]
    found: re.Pattern[str]
    by: frozenset[str]
    unless: re.Pattern[str] | None = None
    fields: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    strength: float = 0.76
    local: bool = False
    """It means something within its own server only."""


def _any(text: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{text})", re.IGNORECASE)


FINDS: Final = frozenset({"list", "search"})
READS: Final = frozenset({"list", "search", "get"})
MAKES: Final = frozenset({"list", "search", "get", "create", "act"})
ANYTHING: Final = re.compile("")

KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        "web page's URL",
        word_set(
            "url urls link links page_url website_url web_url target_url article_url website webpage_url"
        ),
        _any(
            r"web ?pages?|websites?|articles?|html|scrap|crawl|fetch|extract|markdown|screenshot|navigat|"
            r"brows|"
            r"summar|web content|any url|readab"
        ),
        _any(
            r"(?:search|searches|query) (?:the )?(?:web|internet|google|bing|brave|duckduckgo)|web ?search|"
            r"search(?:es)? (?:\w+ ){0,3}(?:for )?(?:\w+ ){0,2}(?:news|articles|web ?pages|websites|"
            r"stories|blog)|"
            r"search engine|sitemap|all (?:links|urls)|(?:extract|list)s? (?:\w+ ){0,2}(?:links|urls)\b|"
            r"(?:top |latest |recent )?(?:news|headlines)\b|google search|internet search"
        ),
        FINDS,
        _any(
            r"callback|webhook|redirect|avatar|api endpoint|endpoint url|images?\b|video|youtube|repo|"
            r"git\b|github|"
            r"rss|feed|figma|instance|server url|base url|rpc|database|proxy|audio|pdf|shorten|m3u8|sitemap|"
            r"twitter|linkedin|instagram|amazon|walmart|ebay|product|zillow|booking|maps|store|reddit|"
            r"facebook|bilibili|tiktok|upload|file url|openapi|swagger|graphql|websocket"
        ),
        word_set("web_url article_url page_url canonical_url"),
        word_set("url urls link page_url website"),
    ),
    Kind(
        "file's path",
        word_set("path file_path filepath filename file_name input_path input_file document_path paths"),
        _any(r"files?\b|documents?\b|workbook|spreadsheet"),
        _any(
            r"(?:list|search|find)(?:s|es)? (?:\w+ ){0,4}(?:files|documents|directory|directories|folder)\b"
        ),
        FINDS,
        _any(r"creat|writ|sav|output|destination|directory|folder|url"),
        frozenset(),
        word_set("file_path filepath filename file_name"),
        0.72,
        local=True,
    ),
    Kind(
        "image's URL",
        word_set("image_url image_urls img_url picture_url photo_url image_uri imageurl"),
        _any(
            r"analy[sz]|describ|detect|recogni|edit|upscal|background|caption|ocr\b|identif|transform|classif|resiz|"
            r"convert|colou?ri|reverse image|faces?\b"
        ),
        _any(
            r"(?:search|generate|create|find|get|list|returns?)(?:s|es)? (?:\w+ ){0,3}"
            r"(?:images?|photos?|pictures?|gifs?|memes?)\b|text-to-image"
        ),
        MAKES,
        None,
        word_set("image_url photo_url picture_url thumbnail_url img_url"),
        word_set("image_url image image_urls image_path imageurl url"),
    ),
    Kind(
        "YouTube video",
        word_set(
            "video_id video_ids video_url youtube_url youtube_video_url videoid url urls video youtube_id"
        ),
        _any(r"youtube"),
        _any(r"youtube"),
        FINDS,
        _any(r"playlist url|channel url"),
        frozenset(),
        word_set("video_id video_ids video_url youtube_url url videoid urls"),
    ),
    Kind(
        "place's coordinates",
        word_set("latitude longitude lat lng lon coordinates center_lat center_lng lat_lng"),
        ANYTHING,
        _any(
            r"(?<!reverse )(?<!reverse-)geocod|coordinates (?:of|for|from) (?:an?|the|any|given)\b|"
            r"(?:search|find)(?:s|es)? (?:for )?(?:(?!nearest|nearby|multi|by)\w+ )?(?:places?|locations?|"
            r"cit(?:y|ies))\b"
        ),
        READS | {"act"},
        _any(r"reverse"),
        word_set("latitude longitude lat lng lon"),
        word_set("latitude longitude lat lng lon coordinates location"),
    ),
    Kind(
        "stock's ticker symbol",
        word_set(
            "symbol symbols ticker tickers stock_symbol ticker_symbol stock_symbols company_symbol "
            "stock_ticker"
        ),
        _any(r"stocks?\b|equit|compan(?:y|ies)|shares?\b|ticker|earnings|dividend|financial|yahoo"),
        re.compile(
            r"^(?=.*\b(?:stock|ticker|equit|exchange|traded|screener|nasdaq|nyse))"
            r".*?\b(?:(?:search|find|look ?up|screen|list of|all|list)(?:s|es)? (?:\w+ ){0,3}"
            r"(?:ticker|symbols?|stocks|companies)\b|gainers|losers|stock ?screener)",
            re.IGNORECASE | re.DOTALL,
        ),
        FINDS,
        _any(r"crypto|coin|token|binance|trading pair|ccxt|forex"),
        word_set("ticker ticker_symbol stock_symbol"),
        word_set("symbol symbols ticker tickers stock_symbol"),
    ),
    Kind(
        "cryptocurrency",
        word_set(
            "coin_id coin coins coin_ids crypto_id coin_symbol token_symbol crypto symbol symbols "
            "cryptocurrency"
        ),
        _any(r"crypto|coins?\b|coingecko|coinmarketcap|bitcoin|binance"),
        _any(
            r"(?:search|find|list|get|trending|top|supported|all)(?:s|es)? (?:\w+ ){0,3}"
            r"(?:coins|cryptocurrencies|cryptos|crypto assets)\b|trending (?:coins|crypto)"
        ),
        FINDS,
        _any(r"stocks?\b|equity"),
        word_set("coin_id"),
        word_set("coin_id coin coins symbol symbols coin_ids id ids"),
    ),
    Kind(
        "wallet address",
        word_set(
            "address wallet_address wallet account_address owner_address addresses public_key "
            "wallet_addresses"
        ),
        _any(
            r"wallet|balances?\b|blockchain|ethereum|solana|\bevm\b|nfts?\b|defi|\bsui\b|bitcoin|on-?chain|starknet|bnb"
        ),
        _any(
            r"(?:create|generate|import|list)s? (?:an? |new |random |all |the |"
            r"your ){0,3}(?:\w+ )?(?:wallets?|keypair)\b|"
            r"(?:get|show|return)s? (?:the |your |my )?(?:current )?(?:wallet|account)(?:'s)? address|"
            r"resolve (?:\w+ ){0,2}ens|address (?:of|for) (?:the |a |an )?(?:ens|starknet id)"
        ),
        MAKES,
        _any(r"contract address|token address|email|street|postal|ip address|pool address|balance of"),
        word_set("wallet_address"),
        word_set("address wallet_address addresses wallet public_key private_key"),
        0.7,
    ),
    Kind(
        "transaction's hash",
        word_set("tx_hash transaction_hash txhash txid transaction_signature tx_id tx_signature"),
        _any(r"transactions?|\btx"),
        _any(
            r"(?:send|transfer|submit|swap|broadcast)(?:s)? (?:\w+ ){0,4}(?:transactions?|tokens?|eth|sol|"
            r"bnb|native|nft)|"
            r"(?:list|get|recent|latest)(?:s)? (?:\w+ ){0,2}transactions\b|transaction history"
        ),
        MAKES,
        None,
        word_set("tx_hash transaction_hash txid"),
        word_set("tx_hash transaction_hash txid hash signature"),
        0.7,
    ),
    Kind(
        "DOI",
        word_set("doi dois paper_doi"),
        ANYTHING,
        _any(
            r"search(?:es)? (?:\w+ ){0,5}(?:papers?|articles|publications|literature|"
            r"works)\b(?!.{0,40}wikipedia)|crossref|"
            r"semantic scholar|google scholar"
        ),
        FINDS,
        None,
        word_set("doi"),
        word_set("doi dois"),
        0.7,
    ),
    Kind(
        "arXiv id",
        word_set("arxiv_id arxiv_ids paper_id paper_ids arxiv_url"),
        _any(r"arxiv"),
        _any(r"arxiv"),
        FINDS,
        None,
        word_set("arxiv_id"),
        word_set("arxiv_id paper_id paper_ids"),
    ),
    Kind(
        "PubMed id",
        word_set("pmid pmids pubmed_id paper_id article_id"),
        _any(r"pubmed|\bpmid"),
        _any(r"pubmed"),
        FINDS,
        None,
        word_set("pmid"),
        word_set("pmid pmids paper_id"),
    ),
    Kind(
        "clinical trial's NCT id",
        word_set("nct_id nct_ids nctid trial_id study_id"),
        _any(r"nct|clinical ?trial"),
        _any(r"clinical ?trials?"),
        FINDS,
        None,
        word_set("nct_id nctid"),
        word_set("nct_id nct_ids nctid trial_id"),
    ),
    Kind(
        "PubChem compound's id",
        word_set("cid cids pubchem_cid compound_id"),
        _any(r"pubchem|compound"),
        _any(r"pubchem"),
        FINDS,
        None,
        word_set("cid pubchem_cid"),
        word_set("cid cids pubchem_cid"),
    ),
    Kind(
        "ISBN",
        word_set("isbn isbns isbn13 isbn10 isbn_13"),
        ANYTHING,
        _any(r"search(?:es)? (?:\w+ ){0,3}books?\b|(?:best ?seller|books) lists?"),
        FINDS,
        None,
        word_set("isbn isbn13 isbn10 isbns primary_isbn"),
        word_set("isbn isbns isbn13"),
    ),
    Kind(
        "email address",
        word_set("to recipient recipients to_email cc bcc recipient_email to_address attendees"),
        _any(r"(?:send|sends|compos|draft|forward|write)\w* (?:\w+ ){0,4}e-?mails?\b|recipient|attendee"),
        _any(
            r"(?:search|find|list|look ?up|get)(?:s|es)? (?:\w+ ){0,3}(?:contacts|e-?mail addresses|"
            r"employees|leads)\b|"
            r"email finder|find (?:\w+ ){0,2}e-?mails? (?:of|for)"
        ),
        FINDS,
        _any(r"whatsapp|sms|phone|jid|currency|slack|discord|telegram|wallet|transfer|token"),
        frozenset(),
        word_set("to recipient recipients email_address"),
        0.7,
    ),
    Kind(
        "repository",
        word_set(
            "repo repository repo_name repo_url repository_url github_url repository_name repo_full_name "
            "owner"
        ),
        _any(r"github|gitlab|repositor"),
        _any(
            r"(?:search|find|list|trending|get)(?:s|es)? (?:\w+ ){0,2}(?:repositories|repos)\b|"
            r"trending (?:\w+ ){0,2}repos"
        ),
        FINDS,
        _any(r"helm|docker|apt|maven"),
        frozenset(),
        word_set("repo repository repo_url owner"),
        0.72,
    ),
    Kind(
        "domain name",
        word_set("domain domain_name domains hostname"),
        _any(
            r"whois|dns (?:lookup|record)|subdomain|ssl cert|domain (?:registr|info|availab|intel)|osint|"
            r"threat|reputation"
        ),
        _any(
            r"(?:search|find|list|enumerat|discover|suggest|generat|get)(?:e|es|s)? (?:\w+ ){0,3}"
            r"(?:domains|subdomains|domain names)\b|subdomain enumerat"
        ),
        MAKES,
        None,
        frozenset(),
        word_set("domain domains"),
        0.72,
    ),
    Kind(
        "IP address",
        word_set("ip ip_address ip_addresses ips target_ip"),
        ANYTHING,
        _any(r"dns (?:lookup|resol)|resolve (?:\w+ ){0,2}(?:domain|host)"),
        MAKES,
        None,
        frozenset(),
        word_set("ip ip_address ips"),
        0.72,
    ),
    Kind(
        "table of data",
        word_set("data rows dataset datasets chart_data table_data datapoints data_points series"),
        _any(r"charts?\b|plots?\b|visuali|graphs?\b|histogram"),
        _any(
            r"(?:read|get|query|fetch|load|retrieve)s? (?:\w+ ){0,4}(?:spreadsheet|sheet|worksheet|csv|"
            r"excel|table rows)\b|"
            r"(?:execute|run)s? (?:an? |the )?(?:\w+ ){0,2}(?:sql|select)\b"
        ),
        READS | {"act"},
        _any(r"knowledge graph"),
        frozenset(),
        word_set("data rows dataset"),
        0.68,
    ),
    Kind(
        "Wikipedia article's title",
        word_set("title page_title article_title page"),
        _any(r"wikipedia"),
        _any(r"wikipedia"),
        FINDS,
        None,
        frozenset(),
        word_set("title page_title"),
    ),
)
