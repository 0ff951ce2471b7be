//! Arithmetic modulo an odd number, behind two engines, and the exponentiations that both run.
//!
//! Numbers are in Montgomery form, `x·R mod p`. Which operations run, and which memory they touch,
//! depends on lengths alone.

use zeroize::Zeroizing;

/// Bits of an exponent dealt with at once where the base is any number.
const WINDOW_BITS: usize = 4;
/// Rows of the comb: bits of the exponent that choose one entry.
const TEETH: usize = 6;
/// Tables of the comb: squarings are shared by so many.
const TABLES: usize = 4;

/// An engine: integers modulo p in its own representation.
pub(crate) trait Field {
    /// A number, at most a little above p. Wiped where it is secret.
    type Element: Clone + zeroize::Zeroize;

    /// `R mod p`: one.
    fn one(&self) -> Self::Element;
    /// `a·b/R mod p`.
    fn mul(&self, a: &Self::Element, b: &Self::Element) -> Self::Element;
    /// `a²/R mod p`.
    fn square(&self, a: &Self::Element) -> Self::Element;
    /// `x·R mod p`, of big-endian bytes below p.
    fn import(&self, bytes: &[u8]) -> Self::Element;
    /// `x/R mod p`, below p, in exactly p's length.
    fn export(&self, x: &Self::Element) -> Zeroizing<Vec<u8>>;
    /// `table[index]`, touching every entry alike.
    fn select(&self, table: &[Self::Element], index: usize) -> Self::Element;
}

/// All ones if the two are equal, else zeros. `black_box` keeps the compiler from finding the
/// comparison in it and branching: it did, and the timing test of the benchmarks saw it.
pub(crate) fn mask(a: usize, b: usize) -> u64 {
    let difference = (a ^ b) as u64;
    std::hint::black_box(((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1))
}

/// `base^exponent`, the exponent big-endian with its top bit set: windows of 4 bits, from the top,
/// each a digit of 1 to 16. So nothing is ever multiplied by one, which processors do some 0.1 ns
/// quicker than by other numbers: the timing test of the benchmarks saw it.
pub(crate) fn power<F: Field>(
    field: &F,
    base: &F::Element,
    exponent: &[u8],
) -> Zeroizing<F::Element> {
    debug_assert!(exponent.first().is_some_and(|top| top >> 7 == 1));
    // base^1 to base^16; on the stack, since beside a session's small and lasting allocations it
    // would leave holes.
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

/// An exponent's digits to base 16, the lowest first, of which all but the highest are 1 to 16
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
    // Nothing is above it to borrow from.
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
    pub(crate) fn new<F: Field<Element = E>>(field: &F, base: &E, exponent_len: usize) -> Self {
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

    /// `base^exponent`, the exponent big-endian and of the length the comb was made for.
    pub(crate) fn power<F: Field<Element = E>>(&self, field: &F, exponent: &[u8]) -> Zeroizing<E> {
        debug_assert_eq!(exponent.len(), self.exponent_len);
        // Which bits are read is public; what they are is not.
        let bit = |i: usize| {
            let byte = exponent.len().checked_sub(1 + i / 8).and_then(|at| exponent.get(at));
            usize::from(byte.copied().unwrap_or(0) >> (i % 8) & 1)
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
