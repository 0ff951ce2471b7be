//! What is to be reached, beside what was.

use crate::report;

pub(crate) struct Aim {
    pub(crate) what: &'static str,
    pub(crate) wanted: Wanted,
    pub(crate) measured: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    /// A table of them.
    pub(crate) fn table(aims: &[Self]) {
        report::heading("Aims", &["what", "wanted", "measured", "reached"]);
        aims.iter().for_each(Self::row);
    }

    fn row(&self) {
        let (word, bound) = match self.wanted {
            Wanted::AtLeast(bound) => ("at least", bound),
            Wanted::AtMost(bound) => ("at most", bound),
        };
        let reached = |measured: f64| match self.wanted {
            Wanted::AtLeast(bound) => measured >= bound,
            Wanted::AtMost(bound) => measured <= bound,
        };
        report::row(&[
            self.what.into(),
            format!("{word} {bound:.2}"),
            self.measured.map_or("not measured".into(), |measured| format!("{measured:.2}")),
            self.measured
                .map_or("", |measured| if reached(measured) { "yes" } else { "NO" })
                .into(),
        ]);
    }
}
