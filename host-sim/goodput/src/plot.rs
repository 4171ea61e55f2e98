//! Goodput against loss, as SVG.

use std::path::Path;

use anyhow::{Context, Result, bail};
use plotters::prelude::*;

use crate::grid::{Grid, Row, Value};
use crate::path::cell::{percent, size};
use crate::run::Contender;

const WIDTH: u32 = 400;
const HEIGHT: u32 = 400;

/// Draws the cells with this buffer and without reordering: a panel for each RTT, a line for each stack.
///
/// # Errors
/// If there are fewer than two rates of loss, or the file cannot be written.
pub fn draw(path: &Path, grid: &Grid, rows: &[Row], buffer: usize) -> Result<()> {
    let rows: Vec<&Row> = rows.iter().filter(|(cell, _)| cell.buffer == buffer && cell.reorder == 0).collect();
    let distinct = |of: fn(&Row) -> u32| {
        let mut all: Vec<u32> = rows.iter().map(|row| of(row)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (losses, rtts) = (distinct(|(cell, _)| cell.loss), distinct(|(cell, _)| cell.rtt));
    if losses.len() < 2 {
        bail!("a plot needs two rates of loss at least, without reordering, at a buffer of {}", size(buffer));
    }
    let area = SVGBackend::new(path, (WIDTH * rtts.len() as u32, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, rtt) in area.split_evenly((1, rtts.len())).iter().zip(&rtts) {
        let title = format!("RTT {rtt} ms, buffers of {}", size(buffer));
        let rows: Vec<&Row> = rows.iter().copied().filter(|(cell, _)| cell.rtt == *rtt).collect();
        draw_panel(panel, &title, grid, &rows, &losses)?;
    }
    area.present().with_context(|| format!("cannot write {}", path.display()))
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    grid: &Grid,
    rows: &[&Row],
    losses: &[u32],
) -> Result<()> {
    let goodputs = || rows.iter().flat_map(|(_, values)| values.iter().filter_map(plotted));
    let (low, high) = (goodputs().fold(f64::MAX, f64::min), goodputs().fold(f64::MIN_POSITIVE, f64::max));
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        // Rates of loss stand at equal distances: zero has no place on a logarithmic axis.
        .build_cartesian_2d(0..losses.len() - 1, (low / 1.5..high * 1.5).log_scale())?;
    let label = |at: &usize| losses.get(*at).map_or_else(String::new, |loss| format!("{}", percent(*loss)));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(losses.len())
        .x_label_formatter(&label)
        .x_desc("loss in %")
        .y_label_formatter(&|goodput| format!("{goodput}"))
        .y_desc("goodput in kB/s")
        .draw()?;
    for (column, contender) in grid.contenders.iter().enumerate() {
        let point = |(cell, values): &&Row| {
            Some((losses.iter().position(|loss| *loss == cell.loss)?, plotted(values.get(column)?)?))
        };
        let style = color(*contender).stroke_width(2);
        let line = LineSeries::new(rows.iter().filter_map(point), style).point_size(3);
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style);
        chart.draw_series(line)?.label(contender.title()).legend(legend);
    }
    let labels = &mut chart.configure_series_labels();
    labels.position(SeriesLabelPosition::LowerLeft).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

/// Zero has no place on a logarithmic axis.
fn plotted(value: &Value) -> Option<f64> {
    value.goodput().filter(|goodput| *goodput > 0.0)
}

fn color(contender: Contender) -> RGBColor {
    match contender {
        Contender::Ours => RGBColor(0xd6, 0x27, 0x28),
        Contender::OursSack => RGBColor(0xff, 0x7f, 0x0e),
        Contender::OursCubic => RGBColor(0x8c, 0x56, 0x4b),
        Contender::SmoltcpNone => RGBColor(0x1f, 0x77, 0xb4),
        Contender::SmoltcpReno => RGBColor(0x2c, 0xa0, 0x2c),
        Contender::SmoltcpCubic => RGBColor(0x94, 0x67, 0xbd),
    }
}
