//! Tables that fit. Where output is not a terminal nothing is ever cut and no
//! column is left out, so that what reads it can rely on it.
//!
//! A terminal that is too narrow is met step by step: times lose their
//! seconds, columns that one can do without go, the last column moves to a
//! line of its own, and elastic columns are cut with an ellipsis. When even
//! that is not enough, the widest fixed column moves to a line of its own.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::console::{Span, Style, neutral, paint};

/// A column and how it gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Ids and words that are useless when cut.
    Fixed(&'static str),
    /// A time, whose seconds one can do without.
    Time(&'static str),
    /// Text that reads on without its end.
    Elastic(&'static str),
    /// Left out when there is no room.
    Spare(&'static str),
    /// Text below the others when there is no room beside them; the last one.
    Note(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Fixed(title)
            | Self::Time(title)
            | Self::Elastic(title)
            | Self::Spare(title)
            | Self::Note(title) => title,
        }
    }

    fn is_elastic(self) -> bool {
        match self {
            Self::Elastic(_) | Self::Note(_) => true,
            Self::Fixed(_) | Self::Time(_) | Self::Spare(_) => false,
        }
    }
}

/// Rows below a line of titles.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Span>>,
}

const GAP: usize = 2;
/// An elastic column is never cut below this.
const LEAST: usize = 8;
/// Others give way before an elastic column is cut below this.
const COMFORT: usize = 16;
/// What stands before a note on a line of its own.
const INDENT: usize = 4;

/// The columns that stand beside each other, with their widths.
struct Layout {
    shown: Vec<(usize, usize)>,
    /// Columns that stand below them, each on a line.
    below: Vec<usize>,
}

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
        self.clone().render_once(width, colour)
    }

    fn render_once(mut self, width: Option<usize>, colour: bool) -> String {
        let layout = self.lay_out(width);
        let mut text = String::new();
        let titles: Vec<Span> = self
            .columns
            .iter()
            .map(|column| Span::new(Style::Dim, column.title()))
            .collect();
        for (number, row) in std::iter::once(&titles).chain(&self.rows).enumerate() {
            for (place, (index, width)) in layout.shown.iter().enumerate() {
                let cell = &row[*index];
                let content = cut(&cell.text, *width);
                text.push_str(&paint(cell.style, &content, colour));
                if place + 1 < layout.shown.len() {
                    let padding = width.saturating_sub(content.width()) + GAP;
                    text.extend(std::iter::repeat_n(' ', padding));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
            for index in layout.below.iter().filter(|_| number > 0) {
                let cell = &row[*index];
                if cell.text.is_empty() {
                    continue;
                }
                let room = if self.columns[*index].is_elastic() {
                    let room = width.unwrap_or(usize::MAX);
                    room.saturating_sub(INDENT).max(LEAST)
                } else {
                    usize::MAX
                };
                text.extend(std::iter::repeat_n(' ', INDENT));
                text.push_str(&paint(cell.style, &cut(&cell.text, room), colour));
                text.push('\n');
            }
        }
        text
    }

    fn lay_out(&mut self, limit: Option<usize>) -> Layout {
        let mut layout = Layout {
            shown: self.natural((0..self.columns.len()).collect()),
            below: Vec::new(),
        };
        let Some(limit) = limit else { return layout };
        if self.wanted(&layout, COMFORT) > limit {
            self.shorten_times();
            let columns = layout.shown.iter().map(|(index, _)| *index);
            layout.shown = self.natural(columns.collect());
        }
        // The last of the spare ones goes first.
        while self.wanted(&layout, COMFORT) > limit {
            let spare =
                |(index, _): &(usize, usize)| matches!(self.columns[*index], Column::Spare(_));
            let Some(place) = layout.shown.iter().rposition(spare) else {
                break;
            };
            layout.shown.remove(place);
        }
        if self.wanted(&layout, COMFORT) > limit
            && let Some((index, _)) = layout.shown.last().copied()
            && matches!(self.columns[index], Column::Note(_))
        {
            layout.shown.pop();
            layout.below.push(index);
        }
        if self.wanted(&layout, LEAST) > limit
            && let Some(place) = self.widest_fixed(&layout)
        {
            let (index, _) = layout.shown.remove(place);
            layout.below.insert(0, index);
        }
        self.squeeze(&mut layout.shown, limit);
        layout
    }

    /// As wide as the content.
    fn natural(&self, columns: Vec<usize>) -> Vec<(usize, usize)> {
        let width = |index: usize| {
            let content = self.rows.iter().map(|row| row[index].text.width());
            let title = self.columns[index].title().width();
            content.chain([title]).max().unwrap_or(0)
        };
        columns
            .into_iter()
            .map(|index| (index, width(index)))
            .collect()
    }

    /// Where the widest fixed column stands among others.
    fn widest_fixed(&self, layout: &Layout) -> Option<usize> {
        let fixed = layout.shown.iter().enumerate().filter(|(_, (index, _))| {
            matches!(self.columns[*index], Column::Fixed(_)) && layout.shown.len() > 1
        });
        let widest = fixed.max_by_key(|(_, (_, width))| *width);
        widest.map(|(place, _)| place)
    }

    /// The width of a line whose elastic columns have given way until `least`.
    fn wanted(&self, layout: &Layout, least: usize) -> usize {
        let widths = layout.shown.iter().map(|(index, width)| {
            if self.columns[*index].is_elastic() {
                least.min(*width)
            } else {
                *width
            }
        });
        widths.sum::<usize>() + GAP * layout.shown.len().saturating_sub(1)
    }

    fn squeeze(&self, shown: &mut [(usize, usize)], limit: usize) {
        let gaps = GAP * shown.len().saturating_sub(1);
        let sum: usize = shown.iter().map(|(_, width)| width).sum();
        let mut excess = (sum + gaps).saturating_sub(limit);
        while excess > 0 {
            let widest = shown
                .iter_mut()
                .filter(|(index, width)| self.columns[*index].is_elastic() && *width > LEAST)
                .max_by_key(|(_, width)| *width);
            let Some((_, width)) = widest else { break };
            *width -= 1;
            excess -= 1;
        }
    }

    /// `2026-01-02T03:04:05.678Z` becomes `2026-01-02T03:04Z`.
    fn shorten_times(&mut self) {
        for (index, column) in self.columns.iter().enumerate() {
            if !matches!(column, Column::Time(_)) {
                continue;
            }
            for row in &mut self.rows {
                let text = &mut row[index].text;
                if let Some((minutes, _)) = text.rsplit_once(':') {
                    *text = format!("{minutes}Z");
                }
            }
        }
    }
}

/// At most `width` columns of a terminal, and an ellipsis when there is more.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::{Column, Table};
    use crate::console::Span;

    const COLUMNS: [Column; 5] = [
        Column::Time("CREATED"),
        Column::Elastic("TOPIC"),
        Column::Spare("TRIES"),
        Column::Fixed("ID"),
        Column::Note("REASON"),
    ];

    fn table() -> Table {
        let mut table = Table::new(&COLUMNS);
        for (id, topic, reason) in [
            ("a1", "org.example.build.finished", "a condition was false"),
            ("a2", "org.例え.テスト", "line\nbreak \u{1b}[31m"),
            ("a3", "org", ""),
        ] {
            table.row(vec![
                Span::plain("2026-01-02T03:04:05.678Z"),
                Span::plain(topic),
                Span::plain("1"),
                Span::plain(id),
                Span::plain(reason),
            ]);
        }
        table
    }

    #[test]
    fn a_table_off_a_terminal_is_never_cut() {
        insta::assert_snapshot!(table().render(None, false), @r"
        CREATED                   TOPIC                       TRIES  ID  REASON
        2026-01-02T03:04:05.678Z  org.example.build.finished  1      a1  a condition was false
        2026-01-02T03:04:05.678Z  org.例え.テスト             1      a2  line\nbreak \x1b[31m
        2026-01-02T03:04:05.678Z  org                         1      a3
        ");
    }

    #[test]
    fn a_table_fits_a_narrow_terminal() {
        insta::assert_snapshot!(table().render(Some(70), false), @r"
        CREATED            TOPIC                TRIES  ID  REASON
        2026-01-02T03:04Z  org.example.build.…  1      a1  a condition was fa…
        2026-01-02T03:04Z  org.例え.テスト      1      a2  line\nbreak \x1b[3…
        2026-01-02T03:04Z  org                  1      a3
        ");
    }

    #[test]
    fn a_note_stands_below_where_there_is_no_room_beside() {
        insta::assert_snapshot!(table().render(Some(40), false), @r"
        CREATED            TOPIC              ID
        2026-01-02T03:04Z  org.example.buil…  a1
            a condition was false
        2026-01-02T03:04Z  org.例え.テスト    a2
            line\nbreak \x1b[31m
        2026-01-02T03:04Z  org                a3
        ");
    }

    #[test]
    fn an_id_stands_below_where_there_is_no_room_for_it() {
        let mut table = Table::new(&[
            Column::Time("CREATED"),
            Column::Fixed("STATE"),
            Column::Elastic("RULE"),
            Column::Fixed("ID"),
            Column::Note("REASON"),
        ]);
        table.row(vec![
            Span::plain("2026-01-02T03:04:05.678Z"),
            Span::plain("succeeded"),
            Span::plain("rebuild-everything"),
            Span::plain("0199ae6c-1111-7000-8000-00000000abcd"),
            Span::plain("because"),
        ]);
        insta::assert_snapshot!(table.render(Some(60), false), @r"
        CREATED            STATE      RULE
        2026-01-02T03:04Z  succeeded  rebuild-everything
            0199ae6c-1111-7000-8000-00000000abcd
            because
        ");
        for width in 40..140 {
            for line in table.render(Some(width), false).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn every_line_fits_wherever_what_is_fixed_does() {
        for width in 35..140 {
            for line in table().render(Some(width), false).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_may_not_be_cut_is_kept_however_narrow() {
        let text = table().render(Some(3), false);
        assert!(text.contains("a1"), "{text}");
    }
}
