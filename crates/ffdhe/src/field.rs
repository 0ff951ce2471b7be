//! The interface of modular arithmetic, and the exponentiations over it.
//!
//! Numbers are in Montgomery form, `x·R mod p`. The operations and the memory accesses depend on
//! lengths only.

use zeroize::Zeroizing;

/// Bits of an exponent processed at once for an arbitrary base.
const WINDOW_BITS: usize = 4;
/// Rows of the comb: bits of the exponent that choose one entry.
const TEETH: usize = 6;
/// Tables of the comb, which share its squarings.
const TABLES: usize = 4;

/// An engine: integers modulo p in its own representation.
pub(crate) trait PrimeField {
    /// A number below 2p. Secret numbers are wiped.
    type Element: Clone + zeroize::Zeroize;

    /// The number one in Montgomery form, `R mod p`.
    fn one(&self) -> Self::Element;
    /// The Montgomery product `a·b/R mod p`.
    fn mul(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;
    /// The Montgomery square `a²/R mod p`.
    fn square(&self, a: &Self::Element) -> Self::Element;
    /// The Montgomery form `x·R mod p` of big-endian bytes below p.
    fn import(&self, bytes: &[u8]) -> Self::Element;
    /// The number `x/R mod p` as big-endian bytes of p's length.
    fn export(&self, x: &Self::Element) -> Zeroizing<Vec<u8>>;
    /// `table[index]`; reads every entry, so that memory accesses do not depend on `index`.
    fn select(&self, table: &[Self::Element], index: usize) -> Self::Element;
}

/// All ones if `a` and `b` are equal, else zeros. Without `black_box` the compiler recognised the
/// comparison and branched, which the benchmarks' timing test detected.
pub(crate) fn mask(a: usize, b: usize) -> u64 {
    let difference = (a ^ b) as u64;
    std::hint::black_box(((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1))
}

/// `base^exponent`, for a big-endian exponent with its top bit set. It processes windows of 4 bits
/// from the top, each as a digit of 1 to 16. No number is therefore multiplied by one, which takes
/// processors about 0.1 ns less than other factors: the benchmarks' timing test detected that.
pub(crate) fn power<F: PrimeField>(
    field: &F,
    base: &F::Element,
    exponent: &[u8],
) -> Zeroizing<F::Element> {
    debug_assert!(exponent.first().is_some_and(|top| top >> 7 == 1));
    // base^1 to base^16. On the stack, because among a session's small lasting allocations it would
    // fragment the heap.
    let mut table: [F::Element; 1 << WINDOW_BITS] = std::array::from_fn(|_| base.clone());
    for power in 2..=1 << WINDOW_BITS {
        let half = &table[power / 2 - 1];
        table[power - 1] =
            if power % 2 == 0 { field.square(half) } else { field.mul(&table[power - 2], base) };
    }
    let digits = digits(exponent);
    let mut factors = digits.iter().rev().map(|digit| {
        let index = usize::from(*digit).wrapping_sub(1);
        Zeroizing::new(field.select(&table, index))
    });
    let mut result = factors.next().unwrap_or_else(|| Zeroizing::new(field.one()));
    for factor in factors {
        for _ in 0..WINDOW_BITS {
            *result = field.square(&result);
        }
        *result = field.mul(&result, &factor);
    }
    result
}

/// The digits of an exponent to base 16, lowest first, where all but the highest are 1 to 16
/// (Joye and Tunstall, "Exponent recoding and regular exponentiation algorithms", AFRICACRYPT
/// 2009). The highest is not 0 where the top bit is set.
fn digits(exponent: &[u8]) -> Zeroizing<Vec<u8>> {
    let nibbles = exponent.iter().rev().flat_map(|byte| [byte & 0xf, byte >> WINDOW_BITS]);
    let mut digits = Zeroizing::new(Vec::with_capacity(2 * exponent.len()));
    let mut borrow = 0;
    for nibble in nibbles {
        let digit = nibble.wrapping_sub(borrow);
        // 0 and -1 borrow.
        borrow = digit.wrapping_sub(1) >> 7;
        digits.push(digit.wrapping_add(borrow << WINDOW_BITS));
    }
    // The highest digit has none above it to borrow from.
    if let Some(top) = digits.last_mut() {
        *top = top.wrapping_sub(borrow << WINDOW_BITS);
    }
    digits
}

/// Powers of one base for exponents of one length, by Lim and Lee's comb ("More flexible
/// exponentiation with precomputation", CRYPTO '94).
///
/// The exponent is TEETH rows of `row` bits, each row TABLES parts of `part` bits. `tables[j][u]`
/// is the product of `base^(2^(row·t + part·j))` over the bits t of u.
pub(crate) struct Comb<E> {
    tables: Vec<Vec<E>>,
    row: usize,
    part: usize,
    exponent_len: usize,
}

impl<E: Clone + zeroize::Zeroize> Comb<E> {
    pub(crate) fn new<F: PrimeField<Element = E>>(
        field: &F,
        base: &E,
        exponent_len: usize,
    ) -> Self {
        let row = (8 * exponent_len).div_ceil(TEETH);
        let part = row.div_ceil(TABLES);
        // base^(2^i) for every bit that a table needs.
        let mut squares = vec![base.clone()];
        for i in 0..row * TEETH + part * TABLES {
            squares.push(field.square(&squares[i]));
        }
        let table = |j: usize| {
            let mut table = vec![field.one()];
            for u in 1..1_usize << TEETH {
                let top = u.ilog2() as usize;
                table.push(field.mul(&table[u - (1 << top)], &squares[row * top + part * j]));
            }
            table
        };
        Self { tables: (0..TABLES).map(table).collect(), row, part, exponent_len }
    }

    /// `base^exponent`, for a big-endian exponent of the length that the comb was made for.
    pub(crate) fn power<F: PrimeField<Element = E>>(
        &self,
        field: &F,
        exponent: &[u8],
    ) -> Zeroizing<E> {
        assert_eq!(exponent.len(), self.exponent_len, "the comb would ignore higher bits");
        // The positions of the bits are public; their values are not. The rows may be a few bits
        // longer than the exponent: those bits are zero.
        let bit = |i: usize| match exponent.len().checked_sub(1 + i / 8) {
            Some(at) => usize::from(exponent[at] >> (i % 8) & 1),
            None => 0,
        };
        let mut result = Zeroizing::new(field.one());
        for k in (0..self.part).rev() {
            *result = field.square(&result);
            for (j, table) in self.tables.iter().enumerate() {
                let column = self.part * j + k;
                if column < self.row {
                    let index =
                        (0..TEETH).fold(0, |index, t| index | bit(self.row * t + column) << t);
                    let factor = Zeroizing::new(field.select(table, index));
                    *result = field.mul(&result, &factor);
                }
            }
        }
        result
    }
}
