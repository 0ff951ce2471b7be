"""Draws the figures of the course: python3 docs/course/figures/draw.py

Each is plain SVG without scripts or fonts of its own. Colours follow the reader's scheme, light or
dark, where the viewer knows it.
"""

from pathlib import Path
from xml.sax.saxutils import escape

STYLE = """
  text { font: 15px system-ui, sans-serif; fill: #1b1f24 }
  .small { font-size: 13px }
  .mono { font-family: ui-monospace, monospace; font-size: 13px }
  .bold { font-weight: 600 }
  .middle { text-anchor: middle }
  .box { fill: #f3f5f7; stroke: #57606a; stroke-width: 1.5 }
  .bad { fill: #ffe3e0; stroke: #b3261e; stroke-width: 1.5 }
  .good { fill: #dcf3e3; stroke: #1a7f37; stroke-width: 1.5 }
  .line { stroke: #57606a; stroke-width: 1.5; fill: none }
  .badline { stroke: #b3261e; stroke-width: 2; fill: none }
  .badtext { fill: #b3261e }
  .goodtext { fill: #14652b }
  .tip { fill: #57606a }
  .badtip { fill: #b3261e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ec }
    .box { fill: #22272e; stroke: #909dab }
    .bad { fill: #4a1f1c; stroke: #ff8a80 }
    .good { fill: #17351f; stroke: #57d27a }
    .line { stroke: #909dab }
    .badline { stroke: #ff8a80 }
    .badtext { fill: #ff9d94 }
    .goodtext { fill: #6fdd8d }
    .tip { fill: #909dab }
    .badtip { fill: #ff8a80 }
    .ground { fill: #0f1318 }
  }
  .ground { fill: #ffffff }
"""
# The dark rule must win over the one below it.
STYLE = STYLE.replace("  .ground { fill: #ffffff }\n", "").replace(
    "  text {", "  .ground { fill: #ffffff }\n  text {", 1
)


class Figure:
    """Shapes, then the file."""

    def __init__(self, name, width, height, title, description):
        self.name, self.width, self.height = name, width, height
        self.title, self.description = title, description
        self.parts = []

    def box(self, x, y, width, height, kind="box"):
        self.parts.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>'
        )

    def text(self, x, y, words, kind=""):
        attribute = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{x}" y="{y}"{attribute}>{escape(words)}</text>')

    def arrow(self, x1, y1, x2, y2, kind="line"):
        tip = "badtip" if kind == "badline" else "tip"
        self.parts.append(f'<path class="{kind}" d="M{x1} {y1}L{x2} {y2}"/>')
        sign = 1 if x2 > x1 else -1
        if y1 == y2:
            points = f"{x2} {y2} {x2 - 9 * sign} {y2 - 5} {x2 - 9 * sign} {y2 + 5}"
        else:
            down = 1 if y2 > y1 else -1
            points = f"{x2} {y2} {x2 - 5} {y2 - 9 * down} {x2 + 5} {y2 - 9 * down}"
        self.parts.append(f'<polygon class="{tip}" points="{points}"/>')

    def labelled(self, x, y, width, height, words, kind="box", style="middle"):
        self.box(x, y, width, height, kind)
        self.text(x + width / 2, y + height / 2 + 5, words, style)

    def save(self):
        body = "\n".join(f"  {part}" for part in self.parts)
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'role="img" aria-labelledby="t d">\n'
            f'  <title id="t">{escape(self.title)}</title>\n'
            f'  <desc id="d">{escape(self.description)}</desc>\n'
            f"  <style>{STYLE}  </style>\n"
            f'  <rect class="ground" width="{self.width}" height="{self.height}"/>\n'
            f"{body}\n</svg>\n"
        )
        (Path(__file__).parent / f"{self.name}.svg").write_text(text, encoding="utf-8")


def frames():
    """Opcodes 20 and 30, byte by byte, and what is known of them."""
    f = Figure(
        "frames", 720, 330, "What an eavesdropper knows of opcodes 20 and 30",
        "The three blocks of opcode 20 are the token, twice 8 bytes, and padding. The token is in "
        "the clear in opcode 30, so all three plaintext blocks are known.",
    )
    f.text(20, 32, "Opcode 20: E(Key1, E(Key1, pad(token)))", "bold")
    for at, words in enumerate(["token 0–7", "token 8–15", "padding, 08×8"]):
        f.labelled(20 + 200 * at, 48, 190, 40, words, "bad")
    f.text(20, 112, "The third block is the same in every session. One key, two passes.", "small")
    f.text(20, 162, "Opcode 30: DDES(integer ‖ UUID) ‖ token ‖ HMAC", "bold")
    parts = [("integer", 90, "box"), ("UUID 0–7", 90, "box"), ("UUID 8–15", 90, "box"),
             ("08×8", 70, "bad"), ("token, in the clear", 160, "bad"), ("HMAC, key Key2", 160, "box")]
    x = 20
    for words, width, kind in parts:
        f.labelled(x, 178, width, 40, words, kind)
        x += width + 4
    f.text(20, 242, "Each block by itself (ECB): equal plaintext, equal ciphertext.", "small")
    f.box(20, 272, 18, 18, "bad")
    f.text(46, 287, "known to whoever listens, without any key", "small")
    f.box(370, 272, 18, 18)
    f.text(396, 287, "encrypted, or made with a key", "small")
    f.save()


def replay():
    """The same frame twice, on both wires."""
    f = Figure(
        "replay", 720, 330, "The same frame twice",
        "On the classic wire a copied frame is counted again. On D-DDES/2 the server opens it under "
        "the next record number, the tag is wrong, and the session ends.",
    )
    for x, name in [(20, "Classic"), (380, "D-DDES/2")]:
        f.text(x, 32, name, "bold")
        f.labelled(x, 48, 80, 36, "client")
        f.labelled(x + 120, 48, 80, 36, "attacker", "bad")
        f.labelled(x + 240, 48, 80, 36, "server")
        for lane in (x + 40, x + 160, x + 280):
            f.parts.append(f'<path class="line" stroke-dasharray="3 4" d="M{lane} 84V290"/>')
    f.arrow(60, 120, 180, 120)
    f.text(70, 112, "30: 42", "small")
    f.arrow(180, 130, 300, 130)
    f.arrow(180, 175, 300, 175, "badline")
    f.text(190, 167, "the same 30", "small badtext")
    f.text(312, 135, "42", "mono")
    f.text(312, 180, "84", "mono badtext")
    f.text(20, 312, "Nothing in the frame says that it was used.", "small")
    f.arrow(420, 120, 540, 120)
    f.text(424, 112, "record n", "small")
    f.arrow(540, 130, 660, 130)
    f.arrow(540, 175, 660, 175, "badline")
    f.text(548, 167, "the same bytes", "small badtext")
    f.text(672, 135, "n", "mono")
    f.text(668, 180, "n+1", "mono")
    f.text(544, 210, "the tag is wrong:", "small goodtext")
    f.text(544, 230, "session over", "small goodtext")
    f.text(380, 312, "Both sides count records, and send no number.", "small")
    f.save()


def modes():
    """ECB and counter mode on the same integers."""
    f = Figure(
        "modes", 720, 300, "The same integers in ECB and in counter mode",
        "In ECB the integers 7, 7, 3, 7 make the blocks A, A, B, A. In counter mode each is added to "
        "the keystream of a record of its own, and the four ciphertexts look unrelated.",
    )
    f.text(20, 32, "integers", "bold")
    f.text(20, 112, "classic: ECB", "bold")
    f.text(20, 222, "D-DDES/2: counter", "bold")
    ecb = ["9c41…", "9c41…", "e07b…", "9c41…"]
    ctr = ["52d0…", "b81f…", "06ae…", "c935…"]
    for at, value in enumerate(["7", "7", "3", "7"]):
        x = 190 + 130 * at
        f.labelled(x, 14, 100, 30, value)
        f.arrow(x + 50, 44, x + 50, 88)
        f.labelled(x, 90, 100, 36, ecb[at], "bad" if value == "7" else "box", "middle mono")
        f.labelled(x, 200, 100, 36, ctr[at], "good", "middle mono")
        f.text(x + 50, 192, f"⊕ record {at + 1}", "small middle")
    f.text(20, 155, "Whoever sees the blocks sees which integers are equal.", "small badtext")
    f.text(20, 266, "Each record has a number n, and each of its blocks a counter n << 16 | i: no block of "
           "keystream", "small goodtext")
    f.text(20, 286, "is used twice under a key.", "small goodtext")
    f.save()


def middleman():
    """Two handshakes instead of one."""
    f = Figure(
        "middleman", 720, 300, "An attacker in the middle of the Diffie-Hellman exchange",
        "The client agrees on keys with the attacker, and the attacker with the server. With a "
        "signature over the handshake's hash the client notices.",
    )
    f.labelled(20, 40, 120, 44, "client")
    f.labelled(300, 40, 120, 44, "attacker", "bad")
    f.labelled(580, 40, 120, 44, "server")
    f.arrow(140, 52, 300, 52)
    f.arrow(300, 72, 140, 72)
    f.arrow(420, 52, 580, 52)
    f.arrow(580, 72, 420, 72)
    f.text(220, 42, "gᵃ", "middle mono")
    f.text(220, 96, "gᵐ", "middle mono badtext")
    f.text(500, 42, "gᵐ′", "middle mono badtext")
    f.text(500, 96, "gᵇ", "middle mono")
    f.labelled(60, 130, 300, 36, "keys from gᵃᵐ", "bad")
    f.labelled(380, 130, 300, 36, "keys from gᵐ′ᵇ", "bad")
    f.text(20, 196, "Classic: both ends have keys, every HMAC verifies, and the attacker reads and "
           "changes all.", "small")
    f.text(20, 232, "D-DDES/2: the server signs the hash of the handshake that it had. The client "
           "had another,", "small goodtext")
    f.text(20, 252, "so the true server's signature does not verify (P-15). A signature of the "
           "attacker's own", "small goodtext")
    f.text(20, 272, "has a key that the client does not know (P-26).", "small goodtext")
    f.save()


def meet():
    """Meet in the middle."""
    f = Figure(
        "meet", 720, 340, "Meet in the middle",
        "The plaintext is encrypted under every Key1 into a table, the ciphertext decrypted under "
        "every Key2. Where both give the same block, the keys may be right.",
    )
    f.labelled(20, 40, 120, 44, "plaintext")
    f.labelled(580, 40, 120, 44, "ciphertext")
    f.labelled(300, 40, 120, 44, "the middle")
    f.arrow(140, 62, 300, 62)
    f.arrow(580, 62, 420, 62)
    f.text(220, 52, "E, every Key1", "small middle")
    f.text(500, 52, "D, every Key2", "small middle")
    left = ["Key1 0000  1f3a…", "Key1 0001  88c0…", "Key1 0002  5d17…", "Key1 0003  e4b2…"]
    right = ["a960…  Key2 0000", "5d17…  Key2 0001", "33fe…  Key2 0002", "0c8d…  Key2 0003"]
    for at in range(4):
        y = 110 + 34 * at
        f.labelled(120, y, 190, 28, left[at], "good" if at == 2 else "box", "middle mono")
        f.labelled(410, y, 190, 28, right[at], "good" if at == 1 else "box", "middle mono")
    f.parts.append('<path class="line" d="M310 192L410 158"/>')
    f.text(20, 275, "2^56 encryptions and 2^56 decryptions: 2^57 DES, not 2^112, and a table of 2^56 "
           "entries.", "small")
    f.text(20, 297, "Half the table: every Key2 is tried twice. That is the dial, --memory.", "small")
    f.text(20, 319, "A second known block tells right pairs from chance.", "small")
    f.save()


def chain():
    """The ledger's chain and a receipt."""
    f = Figure(
        "chain", 720, 270, "A chain of batches, and a receipt",
        "Each batch carries a hash over all batches before it. A receipt holds the hash of one of "
        "them, signed by the server. A rewritten history has another hash there.",
    )
    for at, words in enumerate(["batch 1", "batch 2", "batch 3", "batch 4"]):
        x = 20 + 175 * at
        f.labelled(x, 40, 140, 40, words, "bad" if at == 2 else "box")
        f.text(x + 70, 104, f"chain {at + 1}", "small middle mono")
        if at:
            f.arrow(x - 35, 60, x, 60)
    f.text(370, 30, "changed", "small badtext")
    f.labelled(545, 140, 155, 56, "receipt: chain 4", "good")
    f.text(622, 216, "signed by the server", "small middle goodtext")
    f.arrow(622, 140, 622, 112)
    f.text(20, 150, "chain n = SHA-256(chain n−1 ‖ batch n)", "mono")
    f.text(20, 180, "A changed batch breaks its own chain value: verify names it.", "small")
    f.text(20, 202, "Whoever rewrites all that follows gets another chain 4,", "small")
    f.text(20, 222, "and the receipt, which somebody kept, says so.", "small")
    f.save()


if __name__ == "__main__":
    for draw in (frames, replay, modes, middleman, meet, chain):
        draw()
