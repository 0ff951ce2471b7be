//! Line charts in SVG, for pages without scripts.

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;
/// The most points drawn: more than a screen has columns add nothing.
const POINTS_MAX: usize = 1_500;

/// One axis: its label, and its marks with their places from 0 to 1.
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) marks: Vec<(f64, String)>,
}

/// A chart of one line; `points` lie between 0 and 1 on both axes, each with a text that a pointer
/// shows.
pub(crate) fn line(title: &str, x: &Axis, y: &Axis, points: &[(f64, f64, String)]) -> String {
    let across = |share: f64| LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
    let up = |share: f64| HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}\
         </title>\n"
    );
    let mut put = |text: std::fmt::Arguments<'_>| svg.push_str(&text.to_string());
    for (share, mark) in &y.marks {
        let at = up(*share);
        put(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>\n",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        ));
    }
    for (share, mark) in &x.marks {
        let at = across(*share);
        put(format_args!(
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
             <text class=\"mark\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark}</text>\n",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        ));
    }
    put(format_args!(
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
         <text class=\"axis\" x=\"2\" y=\"{:.1}\">{}</text>\n",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        x.label,
        HEIGHT - 6.0,
        y.label
    ));
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    put(format_args!("<polyline class=\"line\" points=\""));
    for (x, y, _) in points.iter().step_by(step) {
        put(format_args!("{:.1},{:.1} ", across(*x), up(*y)));
    }
    put(format_args!("\"/>\n"));
    for (x, y, text) in points.iter().step_by(step) {
        put(format_args!(
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{text}</title>\
             </circle>\n",
            across(*x),
            up(*y)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// An axis with round marks from 0 on, and the value at its end: `most`, or the first mark not
/// below it.
pub(crate) fn linear(
    label: &'static str,
    most: f64,
    ends_at_most: bool,
    show: impl Fn(f64) -> String,
) -> (Axis, f64) {
    let most = if most > 0.0 { most } else { 1.0 };
    let raw = most / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= raw).unwrap_or(raw);
    let end = if ends_at_most { most } else { (most / step).ceil() * step };
    let mut marks = Vec::new();
    let mut at = 0.0;
    while at <= end * (1.0 + 1e-9) {
        marks.push((at / end, if at == 0.0 { "0".into() } else { show(at) }));
        at += step;
    }
    (Axis { label, marks }, end)
}

/// An axis with marks at the powers of ten from `least` to `most`, and a function from a value to
/// its place.
pub(crate) fn logarithmic(
    label: &'static str,
    least: f64,
    most: f64,
    show: impl Fn(f64) -> String,
) -> (Axis, impl Fn(f64) -> f64) {
    let low = least.max(1.0).log10().floor();
    let high = most.max(1.0).log10().ceil().max(low + 1.0);
    let place = move |value: f64| (value.max(1.0).log10() - low) / (high - low);
    let mut marks = Vec::new();
    let mut power = low;
    while power <= high {
        let value = 10_f64.powf(power);
        marks.push((place(value), show(value)));
        power += 1.0;
    }
    (Axis { label, marks }, place)
}
