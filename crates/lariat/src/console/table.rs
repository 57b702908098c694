//! Tables that fit: columns as wide as their content, and on a terminal too
//! narrow for them the elastic columns give way with an ellipsis. Where output
//! is not a terminal nothing is ever cut.

use unicode_width::UnicodeWidthStr;

use crate::console::{Span, Style, neutral, paint};

/// A column and whether it may be cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Ids and words that are useless when cut.
    Fixed(&'static str),
    /// Text that reads on without its end.
    Elastic(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Fixed(title) | Self::Elastic(title) => title,
        }
    }
}

/// Rows below a line of titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Span>>,
}

const GAP: usize = 2;
/// An elastic column is never cut below this.
const LEAST: usize = 8;

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// One cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Span>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        let cells = cells
            .into_iter()
            .map(|cell| Span::new(cell.style, neutral::line(&cell.text)))
            .collect();
        self.rows.push(cells);
    }

    /// The whole table; `width` is that of the terminal, if it is one.
    pub(crate) fn render(&self, width: Option<usize>, colour: bool) -> String {
        let widths = self.widths(width);
        let mut text = String::new();
        let titles: Vec<Span> = self
            .columns
            .iter()
            .map(|column| Span::new(Style::Dim, column.title()))
            .collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let content = cut(&cell.text, *width);
                text.push_str(&paint(cell.style, &content, colour));
                if index < last {
                    let padding = width.saturating_sub(content.width()) + GAP;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let content = self.rows.iter().filter_map(|row| row.get(index));
                content
                    .map(|cell| cell.text.width())
                    .chain([column.title().width()])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let Some(limit) = limit else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
        while excess > 0 {
            let widest = self
                .columns
                .iter()
                .enumerate()
                .filter(|(index, column)| {
                    matches!(column, Column::Elastic(_)) && widths[*index] > LEAST
                })
                .max_by_key(|(index, _)| widths[*index]);
            let Some((index, _)) = widest else { break };
            widths[index] -= 1;
            excess -= 1;
        }
        widths
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if kept.width() + 1 > width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::{Column, Table};
    use crate::console::Span;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::Fixed("ID"),
            Column::Elastic("TOPIC"),
            Column::Elastic("REASON"),
        ]);
        for (id, topic, reason) in [
            ("a1", "org.example.build.finished", "a condition was false"),
            ("a2", "org.例え.テスト", "line\nbreak \u{1b}[31m"),
        ] {
            table.row(vec![
                Span::plain(id),
                Span::plain(topic),
                Span::plain(reason),
            ]);
        }
        table
    }

    #[test]
    fn a_table_off_a_terminal_is_never_cut() {
        insta::assert_snapshot!(table().render(None, false), @r"
        ID  TOPIC                       REASON
        a1  org.example.build.finished  a condition was false
        a2  org.例え.テスト             line\nbreak \x1b[31m
        ");
    }

    #[test]
    fn a_table_fits_a_narrow_terminal() {
        let text = table().render(Some(40), false);
        insta::assert_snapshot!(text, @r"
        ID  TOPIC              REASON
        a1  org.example.buil…  a condition was …
        a2  org.例え.テスト    line\nbreak \x1b…
        ");
    }

    #[test]
    fn what_may_not_be_cut_is_kept_however_narrow() {
        let text = table().render(Some(3), false);
        assert!(text.contains("a1"), "{text}");
    }
}
