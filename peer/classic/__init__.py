"""The original D-DDES system's wire in Python: a readable second implementation, for tests and for study."""

import warnings

# The library announces the end of its Diffie-Hellman; until then it is the original's own.
warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")
