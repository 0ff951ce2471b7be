//! Finite-field Diffie-Hellman.
