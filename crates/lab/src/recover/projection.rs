//! What whole keys would take, from a rate that was measured.

/// Bits of a key of DES.
pub const KEY_BITS: f64 = 56.0;

/// The work of a search, as powers of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchWork {
    /// DES operations at worst.
    pub des_log2: f64,
    /// Entries of a table.
    pub entries_log2: f64,
}

/// Key1 from opcode 20 and then Key2 from opcode 30, `bits` of each unknown: `2·2^bits + 2^bits`
/// DES and no table. With 56 bits 2^57.58; on average half of it.
pub fn without_table(bits: f64) -> SearchWork {
    SearchWork { des_log2: bits + 3.0_f64.log2(), entries_log2: f64::NEG_INFINITY }
}

/// The textbook's meet in the middle (Diffie and Hellman, "Exhaustive cryptanalysis of the NBS Data
/// Encryption Standard", 1977): `2^bits` DES for a table of as many entries, and `2^bits` to look
/// up. With 56 bits 2^57.
pub fn with_whole_table(bits: f64) -> SearchWork {
    SearchWork { des_log2: bits + 1.0, entries_log2: bits }
}

/// The same with a table of 2^`entries_log2` entries at a time, as [`super::meet()`] does it:
/// `2^bits + 2^(2·bits) / entries` DES.
pub fn with_tables_in_turn(bits: f64, entries_log2: f64) -> SearchWork {
    let entries_log2 = entries_log2.min(bits);
    SearchWork { des_log2: sum_log2(bits, 2.0 * bits - entries_log2), entries_log2 }
}

/// Parallel collision search (van Oorschot and Wiener, "Parallel collision search with
/// cryptanalytic applications", Journal of Cryptology 12, 1999): `7·N^(3/2) / w^(1/2)` DES for N =
/// 2^`bits` keys a pass and w = 2^`entries_log2` entries. The constant is the authors' measurement,
/// for w of 2^10 and above and far below N.
///
/// It is `2.5·sqrt(n^3 / w)`, their cost of one golden collision of a function on n values, with
/// the two passes as one function on n = 2N of them.
pub fn by_collisions(bits: f64, entries_log2: f64) -> SearchWork {
    let entries_log2 = entries_log2.min(bits);
    SearchWork { des_log2: 7.0_f64.log2() + 1.5 * bits - 0.5 * entries_log2, entries_log2 }
}

/// Seconds for 2^`log2` operations at so many a second.
pub fn seconds(log2: f64, a_second: f64) -> f64 {
    log2.exp2() / a_second
}

/// `log2(2^a + 2^b)`.
fn sum_log2(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + (low - high).exp2().ln_1p() / std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.01
    }

    /// The specification's figures: 2^57.6 at worst without a table, 2^57 with one.
    #[test]
    fn whole_keys_cost_what_the_specification_says() {
        assert!(near(without_table(KEY_BITS).des_log2, 57.58));
        assert_eq!(with_whole_table(KEY_BITS).des_log2, 57.0);
        assert_eq!(with_whole_table(KEY_BITS).entries_log2, 56.0);
    }

    #[test]
    fn tables_in_turn_meet_the_whole_table_and_cost_twice_for_half_the_memory() {
        assert!(near(with_tables_in_turn(56.0, 56.0).des_log2, 57.0));
        assert!(near(with_tables_in_turn(56.0, 60.0).des_log2, 57.0));
        assert!(near(with_tables_in_turn(56.0, 30.0).des_log2, 82.0));
        assert!(near(with_tables_in_turn(56.0, 29.0).des_log2, 83.0));
    }

    /// With little memory collisions win: for w = 2^30, 2^71.8 against 2^82. Four times the memory
    /// halves the time.
    #[test]
    fn collisions_cost_what_the_paper_says() {
        assert!(near(by_collisions(56.0, 30.0).des_log2, 71.81));
        let (one, four) = (by_collisions(56.0, 30.0), by_collisions(56.0, 32.0));
        assert!(near(one.des_log2 - four.des_log2, 1.0));
        // 2.5·sqrt(n^3 / w) for n = 2N: 2.5·sqrt(8) is 7.07.
        let golden = 2.5_f64.log2() + 1.5 * 57.0 - 15.0;
        assert!(near(golden, by_collisions(56.0, 30.0).des_log2 + (7.071_f64 / 7.0).log2()));
    }

    #[test]
    fn time_is_work_by_rate() {
        assert!(near(seconds(30.0, 1e9), 1.07));
    }
}
