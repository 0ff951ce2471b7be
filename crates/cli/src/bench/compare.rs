//! `ddes bench compare`.

use std::fs;
use std::path::Path;

use ddes_load::{CompareRow, Comparison, RunRecord, Spread, short, time};
use serde_json::json;

use crate::bench::args::{CompareArgs, FigureName};
use crate::failure::{Code, Failure};
use crate::screen::{Line, Screen};

pub(crate) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let comparison = ddes_load::compare(&read(&args.first)?, &read(&args.second)?);
    if args.output.json {
        Screen::json().show(&line(&comparison))?;
    } else {
        Screen::plain().show(&Line::new("comparison", table(&comparison)))?;
        if !args.output.quiet {
            for caution in &comparison.cautions {
                crate::streams::say(&format!("note: {caution}"));
            }
        }
    }
    let Some(least) = args.fail_below else { return Ok(()) };
    let name = match args.on {
        FigureName::Rate => "values/s",
        FigureName::P50 => "p50",
        FigureName::P99 => "p99",
        FigureName::P999 => "p99.9",
    };
    match comparison.row(name) {
        Some(row) if row.ratio >= least => Ok(()),
        Some(row) => Err(Failure::new(
            Code::No,
            format!("{name}: {:.3} times as good, and {least} were asked for", row.ratio),
        )),
        None => Err(Failure::new(Code::No, format!("the runs have no {name} to compare"))
            .cause("one of them ended before anything was measured, or is of another kind")
            .next("ddes bench run --save FILE     (makes another)")),
    }
}

fn read(path: &Path) -> Result<RunRecord, Failure> {
    let usage = |what: String| {
        Failure::new(Code::Usage, format!("{}: {what}", path.display()))
            .cause("the path is misspelt, or it is no file of --save")
            .next("ddes bench run --save FILE     (makes one)")
    };
    let text = fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    RunRecord::parse(&text).map_err(|error| usage(error.to_string()))
}

fn table(comparison: &Comparison) -> String {
    let mut lines = vec![format!(
        "{:<20} {:>12} {:>12} {:>8}  {}",
        "", "first", "second", "ratio", "beyond the spread"
    )];
    for row in &comparison.rows {
        let show = |value| if row.is_time { time(value) } else { short(value) };
        let spread = match row.spread {
            Spread::Beyond => "yes",
            Spread::Within => "no",
            Spread::Unknown => "-",
        };
        let (first, second) = (show(row.first), show(row.second));
        lines.push(format!(
            "{:<20} {first:>12} {second:>12} {:>8.3}  {spread}",
            row.name, row.ratio
        ));
    }
    lines.push("A ratio above 1 is better: a higher rate, a shorter time.".into());
    lines.join("\n")
}

fn line(comparison: &Comparison) -> Line {
    let row = |row: &CompareRow| {
        json!({
            "name": row.name,
            "unit": if row.is_time { "ns" } else { "1/s" },
            "of_first": row.first,
            "of_second": row.second,
            "ratio": row.ratio,
            "beyond_spread": match row.spread {
                Spread::Beyond => Some(true),
                Spread::Within => Some(false),
                Spread::Unknown => None,
            },
        })
    };
    Line::new("comparison", "")
        .with("rows", comparison.rows.iter().map(row).collect::<Vec<_>>())
        .with("cautions", comparison.cautions.clone())
}
