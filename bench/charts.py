# SPDX-License-Identifier: Apache-2.0
"""Bar charts as SVG, one panel a figure, no library: they are read by people and diffed by git."""
from xml.sax.saxutils import escape

COLOURS = {"direct": "#9aa0a6", "forwarder": "#b7a57a", "tulle": "#0b7a75", "haproxy": "#4c6fb1", "envoy": "#b0413e"}
PANEL, GAP, BAR, LABEL, TOP = 330, 24, 22, 74, 58


def panel(x, y, title, unit, bars):
    """bars: [(kind, value)]; the longest fills the panel."""
    room = PANEL - LABEL - 62
    largest = max(value for _, value in bars) or 1
    out = [f'<text x="{x}" y="{y}" class="t">{escape(title)}</text>', f'<text x="{x}" y="{y + 15}" class="u">{escape(unit)}</text>']
    for i, (kind, value) in enumerate(bars):
        top = y + 26 + i * BAR
        width = max(round(room * value / largest, 1), 0.5)
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
        out.append(f'<text x="{x}" y="{top + 12}">{kind}</text>')
        out.append(f'<rect x="{x + LABEL}" y="{top}" width="{width}" height="{BAR - 6}" rx="2" fill="{COLOURS[kind]}"/>')
        out.append(f'<text x="{x + LABEL + width + 5:.1f}" y="{top + 12}">{text}</text>')
    return out


def chart(title, panels):
    """panels: [(title, unit, [(kind, value)])]; two in a row."""
    panels = [one for one in panels if one[2]]
    rows = (len(panels) + 1) // 2
    height_of = max((len(bars) for _, _, bars in panels), default=0) * BAR + 52
    width, height = 2 * PANEL + 3 * GAP, TOP + rows * height_of
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
           f"<title>{escape(title)}</title>",
           "<style>text{font:12px sans-serif;fill:#222}.h{font:bold 16px sans-serif}.t{font:bold 13px sans-serif}.u{fill:#666;font-size:11px}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>', f'<text x="{GAP}" y="30" class="h">{escape(title)}</text>']
    for i, (name, unit, bars) in enumerate(panels):
        out += panel(GAP + (i % 2) * (PANEL + GAP), TOP + 8 + (i // 2) * height_of, name, unit, bars)
    return "\n".join(out + ["</svg>"]) + "\n"


def bars(figures, row, key, kinds=("forwarder", "tulle", "haproxy", "envoy"), scale=1.0):
    return [(kind, figures[kind][row][key] * scale) for kind in kinds if key in figures.get(kind, {}).get(row, {})]


def charts(figures):
    """{file name: SVG}."""
    everyone = ("direct", "forwarder", "tulle", "haproxy", "envoy")
    cpu = [("HTTP/1.1 at 2,000 requests/s", "CPU of both proxies, µs a request; less is better", bars(figures, "http1_steady", "cpu_us")),
           ("HTTP/2 at 2,000 requests/s", "CPU of both proxies, µs a request; less is better", bars(figures, "http2_steady", "cpu_us")),
           ("New client connection", "CPU of both proxies, µs with one request; less is better", bars(figures, "connections", "cpu_us")),
           ("New opaque connection", "CPU of both proxies, µs, full mTLS handshake; less is better", bars(figures, "opaque_connections", "cpu_us")),
           ("Opaque TCP", "CPU of both proxies, s a GB; less is better", bars(figures, "opaque_stream", "cpu_s_per_gb"))]
    speed = [("HTTP/1.1, 32 clients", "requests/s; more is better", bars(figures, "http1_full", "rate")),
             ("HTTP/2, 32 clients × 8 streams", "requests/s; more is better", bars(figures, "http2_full", "rate"))]
    for form, text in (("http1", "HTTP/1.1"), ("http2", "HTTP/2")):
        for key in ("p50", "p99"):
            speed.append((f"{text} latency {key} at 2,000/s", "µs; less is better", bars(figures, f"{form}_steady", f"{key}_us", everyone)))
    memory = [(title, "MiB resident; less is better", bars(figures, "memory", key, scale=1 / 1024)) for title, key in (
        ("Idle, client side", "idle_client_rss_kib"), ("Idle, server side", "idle_server_rss_kib"),
        ("1,000 plain clients, client side", "plain_client_rss_kib"), ("1,000 plain clients, server side", "plain_server_rss_kib"),
        ("1,000 mTLS HTTP/2 clients, server side", "mtls_server_rss_kib"))]
    return {"cpu.svg": chart("CPU", cpu), "speed.svg": chart("Rate and latency", speed), "memory.svg": chart("Memory of one proxy", memory)}
