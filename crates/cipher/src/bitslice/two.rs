//! S1 to S8 with gates of two inputs, 46.88 on average: `S(x) ^ S(0)`. Written by `cargo xtask circuits write`.

use super::lane::GateLane;

/// `S(0)` of each, which these circuits leave out; the first output is the most significant bit.
pub(super) const OF_ZERO: [u8; 8] = [14, 15, 10, 7, 2, 12, 4, 13];

/// S1, 52 gates.
#[inline(always)]
pub(super) fn s1<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w0 ^ w3;
    let w7 = w3 | w0;
    let w8 = w5 & !w7;
    let w9 = w2 & !w8;
    let w10 = w6 ^ w9;
    let w11 = w0 & !w10;
    let w12 = w5 | w11;
    let w13 = w9 ^ w12;
    let w14 = w4 & w13;
    let w15 = w10 ^ w14;
    let w16 = w4 & w7;
    let w17 = w16 ^ w2;
    let w18 = w0 & w17;
    let w19 = w18 | w10;
    let w20 = w5 | w19;
    let w21 = w17 ^ w20;
    let w22 = w1 | w21;
    let w23 = w15 ^ w22;
    let w24 = w13 & !w5;
    let w25 = w24 ^ w1;
    let w26 = w23 & !w6;
    let w27 = w26 ^ w13;
    let w28 = w4 | w27;
    let w29 = w25 ^ w28;
    let w30 = w23 & w14;
    let w31 = w9 | w4;
    let w32 = w22 & !w31;
    let w33 = w5 | w32;
    let w34 = w30 ^ w33;
    let w35 = w34 & !w3;
    let w36 = w29 ^ w35;
    let w37 = w29 & !w27;
    let w38 = w37 ^ w14;
    let w39 = w19 | w21;
    let w40 = w3 | w39;
    let w41 = w38 ^ w40;
    let w42 = w11 | w6;
    let w43 = w42 & w28;
    let w44 = w43 & !w1;
    let w45 = w41 ^ w44;
    let w46 = w4 & !w13;
    let w47 = w46 | w21;
    let w48 = w41 & !w15;
    let w49 = w48 ^ w34;
    let w50 = w0 & w49;
    let w51 = w47 ^ w50;
    let w52 = w28 & !w6;
    let w53 = w36 & !w26;
    let w54 = w5 & !w53;
    let w55 = w52 ^ w54;
    let w56 = w1 | w55;
    let w57 = w51 ^ w56;
    [w36, w23, w45, w57]
}

/// S2, 46 gates.
#[inline(always)]
pub(super) fn s2<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w0 ^ w5;
    let w7 = w6 ^ w4;
    let w8 = w4 & w5;
    let w9 = w0 & !w8;
    let w10 = w1 & !w9;
    let w11 = w7 ^ w10;
    let w12 = w4 & !w9;
    let w13 = w12 | w1;
    let w14 = w3 & w13;
    let w15 = w11 ^ w14;
    let w16 = w8 | w10;
    let w17 = w16 & !w6;
    let w18 = w2 | w17;
    let w19 = w15 ^ w18;
    let w20 = w1 ^ w8;
    let w21 = w19 | w9;
    let w22 = w21 & !w5;
    let w23 = w20 ^ w22;
    let w24 = w20 & w7;
    let w25 = w24 ^ w13;
    let w26 = w3 | w25;
    let w27 = w23 ^ w26;
    let w28 = w25 | w17;
    let w29 = w2 & w28;
    let w30 = w27 ^ w29;
    let w31 = w23 | w8;
    let w32 = w3 | w31;
    let w33 = w11 ^ w32;
    let w34 = w3 & w21;
    let w35 = w34 & w15;
    let w36 = w0 & !w35;
    let w37 = w33 ^ w36;
    let w38 = w31 & !w25;
    let w39 = w15 & !w38;
    let w40 = w2 | w39;
    let w41 = w37 ^ w40;
    let w42 = w7 ^ w3;
    let w43 = w41 & !w3;
    let w44 = w1 & !w43;
    let w45 = w5 | w44;
    let w46 = w42 ^ w45;
    let w47 = w45 & !w14;
    let w48 = w1 & !w35;
    let w49 = w47 ^ w48;
    let w50 = w49 & !w2;
    let w51 = w46 ^ w50;
    [w19, w51, w41, w30]
}

/// S3, 48 gates.
#[inline(always)]
pub(super) fn s3<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w5 ^ w1;
    let w7 = w6 ^ w2;
    let w8 = w7 & w1;
    let w9 = w4 | w8;
    let w10 = w7 ^ w9;
    let w11 = w5 & !w8;
    let w12 = w3 | w11;
    let w13 = w10 ^ w12;
    let w14 = w3 ^ w8;
    let w15 = w14 ^ w2;
    let w16 = w4 | w15;
    let w17 = w12 ^ w16;
    let w18 = w0 | w17;
    let w19 = w13 ^ w18;
    let w20 = w14 ^ w4;
    let w21 = w15 ^ w19;
    let w22 = w21 | w3;
    let w23 = w22 & !w0;
    let w24 = w20 ^ w23;
    let w25 = w2 & !w21;
    let w26 = w25 | w6;
    let w27 = w15 & !w13;
    let w28 = w27 & !w0;
    let w29 = w26 ^ w28;
    let w30 = w5 | w29;
    let w31 = w24 ^ w30;
    let w32 = w24 | w28;
    let w33 = w5 & w26;
    let w34 = w32 ^ w33;
    let w35 = w33 ^ w0;
    let w36 = w2 | w35;
    let w37 = w34 ^ w36;
    let w38 = w31 & !w11;
    let w39 = w38 ^ w19;
    let w40 = w31 & !w2;
    let w41 = w4 & !w40;
    let w42 = w39 ^ w41;
    let w43 = w3 & w42;
    let w44 = w37 ^ w43;
    let w45 = w6 ^ w9;
    let w46 = w45 ^ w16;
    let w47 = w5 & w44;
    let w48 = w3 & !w47;
    let w49 = w46 ^ w48;
    let w50 = w11 ^ w40;
    let w51 = w50 & !w42;
    let w52 = w0 | w51;
    let w53 = w49 ^ w52;
    [w31, w53, w44, w19]
}

/// S4, 37 gates.
#[inline(always)]
pub(super) fn s4<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w2 & !w1;
    let w7 = w6 ^ w4;
    let w8 = w2 & !w4;
    let w9 = w0 & !w8;
    let w10 = w7 ^ w9;
    let w11 = w4 & !w2;
    let w12 = w11 | w10;
    let w13 = w1 & w12;
    let w14 = w4 ^ w13;
    let w15 = w3 | w14;
    let w16 = w10 ^ w15;
    let w17 = w0 | w11;
    let w18 = w17 ^ w2;
    let w19 = w3 | w18;
    let w20 = w11 ^ w19;
    let w21 = w18 ^ w3;
    let w22 = w21 & w7;
    let w23 = w1 | w22;
    let w24 = w20 ^ w23;
    let w25 = w5 & w24;
    let w26 = w16 ^ w25;
    let w27 = w24 | w5;
    let w28 = w27 ^ w16;
    let w29 = w1 & !w14;
    let w30 = w29 ^ w21;
    let w31 = w2 ^ w7;
    let w32 = w31 | w15;
    let w33 = w30 ^ w32;
    let w34 = w16 ^ w33;
    let w35 = w3 & w34;
    let w36 = w28 ^ w35;
    let w37 = w1 & !w34;
    let w38 = w36 ^ w37;
    let w39 = w5 | w38;
    let w40 = w33 ^ w39;
    let w41 = w25 ^ w38;
    let w42 = w41 ^ w40;
    [w40, w42, w28, w26]
}

/// S5, 53 gates.
#[inline(always)]
pub(super) fn s5<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w5 ^ w2;
    let w7 = w3 | w6;
    let w8 = w2 & !w7;
    let w9 = w4 & !w8;
    let w10 = w6 ^ w9;
    let w11 = w3 | w8;
    let w12 = w11 & !w1;
    let w13 = w10 ^ w12;
    let w14 = w7 ^ w11;
    let w15 = w14 & w1;
    let w16 = w2 ^ w7;
    let w17 = w4 & w16;
    let w18 = w15 ^ w17;
    let w19 = w0 & !w18;
    let w20 = w13 ^ w19;
    let w21 = w16 & !w9;
    let w22 = w21 ^ w0;
    let w23 = w13 & !w4;
    let w24 = w20 & !w23;
    let w25 = w1 | w24;
    let w26 = w22 ^ w25;
    let w27 = w14 ^ w4;
    let w28 = w27 | w19;
    let w29 = w0 & !w2;
    let w30 = w28 ^ w29;
    let w31 = w3 ^ w27;
    let w32 = w31 & !w30;
    let w33 = w1 | w32;
    let w34 = w30 ^ w33;
    let w35 = w5 | w34;
    let w36 = w26 ^ w35;
    let w37 = w33 ^ w27;
    let w38 = w22 & !w2;
    let w39 = w37 ^ w38;
    let w40 = w16 | w20;
    let w41 = w3 & w40;
    let w42 = w36 ^ w41;
    let w43 = w33 ^ w23;
    let w44 = w43 & w19;
    let w45 = w42 ^ w44;
    let w46 = w45 & !w5;
    let w47 = w39 ^ w46;
    let w48 = w47 ^ w20;
    let w49 = w0 | w36;
    let w50 = w48 ^ w49;
    let w51 = w36 & !w1;
    let w52 = w50 ^ w51;
    let w53 = w27 | w33;
    let w54 = w53 & !w36;
    let w55 = w0 | w35;
    let w56 = w54 ^ w55;
    let w57 = w4 | w56;
    let w58 = w52 ^ w57;
    [w58, w20, w47, w36]
}

/// S6, 47 gates.
#[inline(always)]
pub(super) fn s6<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w5 & !w1;
    let w7 = w0 & !w6;
    let w8 = w4 ^ w7;
    let w9 = w8 ^ w5;
    let w10 = w0 & !w9;
    let w11 = w10 ^ w1;
    let w12 = w2 & !w11;
    let w13 = w8 ^ w12;
    let w14 = w4 & w5;
    let w15 = w14 | w11;
    let w16 = w13 & !w5;
    let w17 = w2 & w16;
    let w18 = w15 ^ w17;
    let w19 = w3 & w18;
    let w20 = w13 ^ w19;
    let w21 = w2 ^ w13;
    let w22 = w5 & !w0;
    let w23 = w21 ^ w22;
    let w24 = w12 & !w15;
    let w25 = w20 & !w24;
    let w26 = w25 & !w1;
    let w27 = w23 ^ w26;
    let w28 = w0 ^ w16;
    let w29 = w28 & w15;
    let w30 = w3 | w29;
    let w31 = w27 ^ w30;
    let w32 = w28 & !w7;
    let w33 = w32 ^ w24;
    let w34 = w28 ^ w5;
    let w35 = w34 | w4;
    let w36 = w3 & w35;
    let w37 = w33 ^ w36;
    let w38 = w9 ^ w30;
    let w39 = w31 & !w38;
    let w40 = w1 & !w39;
    let w41 = w37 ^ w40;
    let w42 = w27 ^ w13;
    let w43 = w4 & !w26;
    let w44 = w3 & !w43;
    let w45 = w42 ^ w44;
    let w46 = w40 & w20;
    let w47 = w46 | w29;
    let w48 = w37 & w20;
    let w49 = w2 & w48;
    let w50 = w47 ^ w49;
    let w51 = w1 & !w50;
    let w52 = w45 ^ w51;
    [w41, w52, w31, w20]
}

/// S7, 47 gates.
#[inline(always)]
pub(super) fn s7<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w3 ^ w4;
    let w7 = w6 ^ w0;
    let w8 = w3 & !w4;
    let w9 = w8 ^ w1;
    let w10 = w2 | w9;
    let w11 = w7 ^ w10;
    let w12 = w1 & !w9;
    let w13 = w2 ^ w6;
    let w14 = w13 & w9;
    let w15 = w0 & w14;
    let w16 = w12 ^ w15;
    let w17 = w5 & !w16;
    let w18 = w11 ^ w17;
    let w19 = w3 & !w1;
    let w20 = w19 ^ w13;
    let w21 = w9 ^ w19;
    let w22 = w21 & w2;
    let w23 = w5 | w22;
    let w24 = w20 ^ w23;
    let w25 = w20 & !w7;
    let w26 = w1 | w25;
    let w27 = w14 ^ w26;
    let w28 = w13 ^ w22;
    let w29 = w28 ^ w8;
    let w30 = w5 & !w29;
    let w31 = w27 ^ w30;
    let w32 = w0 & w31;
    let w33 = w24 ^ w32;
    let w34 = w3 & !w31;
    let w35 = w1 & !w34;
    let w36 = w5 & w35;
    let w37 = w24 ^ w36;
    let w38 = w2 & !w36;
    let w39 = w38 ^ w18;
    let w40 = w3 | w28;
    let w41 = w39 ^ w40;
    let w42 = w0 | w41;
    let w43 = w37 ^ w42;
    let w44 = w15 ^ w22;
    let w45 = w44 ^ w41;
    let w46 = w33 ^ w9;
    let w47 = w46 ^ w16;
    let w48 = w47 & !w5;
    let w49 = w45 ^ w48;
    let w50 = w17 & !w2;
    let w51 = w50 | w42;
    let w52 = w49 ^ w51;
    [w33, w43, w52, w18]
}

/// S8, 45 gates.
#[inline(always)]
pub(super) fn s8<G: GateLane>([w0, w1, w2, w3, w4, w5]: [G; 6]) -> [G; 4] {
    let w6 = w1 & !w2;
    let w7 = w6 ^ w4;
    let w8 = w7 ^ w0;
    let w9 = w7 | w6;
    let w10 = w2 ^ w7;
    let w11 = w10 & !w8;
    let w12 = w1 | w11;
    let w13 = w9 ^ w12;
    let w14 = w13 & !w3;
    let w15 = w8 ^ w14;
    let w16 = w0 & !w10;
    let w17 = w16 ^ w1;
    let w18 = w17 & !w4;
    let w19 = w10 ^ w18;
    let w20 = w3 | w11;
    let w21 = w19 ^ w20;
    let w22 = w21 & !w5;
    let w23 = w15 ^ w22;
    let w24 = w17 ^ w3;
    let w25 = w24 & w8;
    let w26 = w1 & w25;
    let w27 = w0 ^ w26;
    let w28 = w5 & w27;
    let w29 = w24 ^ w28;
    let w30 = w20 & !w22;
    let w31 = w30 ^ w23;
    let w32 = w10 & !w0;
    let w33 = w31 ^ w32;
    let w34 = w4 | w33;
    let w35 = w29 ^ w34;
    let w36 = w15 ^ w21;
    let w37 = w24 & !w32;
    let w38 = w33 & !w17;
    let w39 = w1 & !w38;
    let w40 = w37 ^ w39;
    let w41 = w5 | w40;
    let w42 = w36 ^ w41;
    let w43 = w10 & w35;
    let w44 = w43 ^ w30;
    let w45 = w10 & !w14;
    let w46 = w1 | w45;
    let w47 = w44 ^ w46;
    let w48 = w16 ^ w41;
    let w49 = w5 | w48;
    let w50 = w47 ^ w49;
    [w42, w50, w35, w23]
}
