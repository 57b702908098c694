//! Pages of a list: which rows, without reading more than a page may cost.
//!
//! A scan runs along one index in the order of `seq`. Conditions beyond that
//! index are checked row by row under a budget: when it is used up, the page
//! ends where it is, short or empty, with a cursor to go on from.

use model::{
    clock::Timestamp,
    page::{Cursor, Page, Position},
};
use sqlx::{AssertSqlSafe, Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    failure::Failure,
    rows::{Statement, signed},
};

/// Rows that one page may look at beyond those that an index names.
pub(crate) const BUDGET: i64 = 10_000;

/// Rows that are read at a time where each is looked at by us.
const STRIDE: i64 = 1_000;

/// A value in a condition.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    Int(i64),
    Text(String),
}

impl Bind {
    pub(crate) fn word(word: &'static str) -> Self {
        Self::Text(word.to_owned())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

fn bind_all<'q>(mut statement: Statement<'q>, binds: &[Bind]) -> Statement<'q> {
    for bind in binds {
        statement = match bind {
            Bind::Int(number) => statement.bind(*number),
            Bind::Text(text) => statement.bind(text.clone()),
        };
    }
    statement
}

#[derive(Debug, Default)]
struct Conditions {
    sql: String,
    binds: Vec<Bind>,
}

impl Conditions {
    fn add(&mut self, sql: &str, binds: Vec<Bind>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.binds.extend(binds);
    }
}

/// A question for the numbers of a page's rows.
#[derive(Debug)]
pub(crate) struct Scan {
    table: &'static str,
    position: Position,
    limit: i64,
    /// The rows from `from` up to, not including, `to`.
    from: i64,
    to: i64,
    /// An end in time: rows beyond what is there now may still belong.
    has_end: bool,
    /// What an index answers in the order of `seq`.
    along: Conditions,
    /// Bounds of time, exact within the window that `from` and `to` are.
    times: Conditions,
    /// What is looked at row by row.
    filter: Conditions,
}

/// The rows of a page, in the order of the page, and where the next begins.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) seqs: Vec<i64>,
    pub(crate) next: Option<i64>,
}

impl Scan {
    pub(crate) fn new(table: &'static str, position: Position, limit: usize) -> Self {
        let (from, to) = match position {
            Position::Newest => (0, i64::MAX),
            Position::Before(Cursor(end)) => (0, end),
            Position::After(Cursor(start)) => (start.saturating_add(1), i64::MAX),
        };
        Self {
            table,
            position,
            limit: signed(limit),
            from,
            to,
            has_end: false,
            along: Conditions::default(),
            times: Conditions::default(),
            filter: Conditions::default(),
        }
    }

    pub(crate) fn along(&mut self, sql: &str, binds: Vec<Bind>) {
        self.along.add(sql, binds);
    }

    /// A condition beside the index. Its columns are written with a `+` where
    /// an index on them would tempt SQLite away from the order of `seq`.
    pub(crate) fn filter(&mut self, sql: &str, binds: Vec<Bind>) {
        self.filter.add(sql, binds);
    }

    pub(crate) fn has_filter(&self) -> bool {
        !self.filter.sql.is_empty()
    }

    /// Narrows the scan to a window of time, by the table of minutes.
    pub(crate) async fn within(
        &mut self,
        conn: &mut SqliteConnection,
        (minutes, column): (&str, &str),
        (since, until): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<(), Failure> {
        if since.is_none() && until.is_none() {
            return Ok(());
        }
        let first = since.map_or(i64::MIN, Timestamp::as_millis);
        let end = until.map_or(i64::MAX, Timestamp::as_millis);
        let sql = format!(
            "SELECT min(first_seq), max(last_seq) FROM {minutes} WHERE minute >= ? AND minute <= ?"
        );
        let (low, high): (Option<i64>, Option<i64>) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(first.div_euclid(60_000))
            .bind(end.div_euclid(60_000))
            .fetch_one(conn)
            .await?;
        self.from = self.from.max(low.unwrap_or(i64::MAX));
        self.to = self.to.min(high.map_or(0, |high| high.saturating_add(1)));
        self.has_end = until.is_some();
        self.times.add(
            &format!("{column} >= ? AND {column} < ?"),
            vec![Bind::Int(first), Bind::Int(end)],
        );
        Ok(())
    }

    fn is_backward(&self) -> bool {
        match self.position {
            Position::Newest | Position::Before(_) => true,
            Position::After(_) => false,
        }
    }

    /// The newest number of the list.
    async fn last(&self, conn: &mut SqliteConnection) -> Result<i64, Failure> {
        let sql = format!("SELECT coalesce(max(seq), 0) FROM {}", self.table);
        Ok(sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(conn)
            .await?)
    }

    /// Cuts the window down to what one page may look at. Says whether the
    /// rest of it must wait.
    async fn spend_budget(&mut self, conn: &mut SqliteConnection) -> Result<bool, Failure> {
        if self.along.sql.is_empty() {
            let is_cut = self.to.saturating_sub(self.from) > BUDGET;
            if is_cut && self.is_backward() {
                self.from = self.to - BUDGET;
            } else if is_cut {
                self.to = self.from + BUDGET;
            }
            return Ok(is_cut);
        }
        let order = if self.is_backward() { "DESC" } else { "ASC" };
        let edge = if self.is_backward() { "min" } else { "max" };
        let sql = format!(
            "SELECT count(*), {edge}(seq) FROM (
                 SELECT seq FROM {} WHERE seq >= ? AND seq < ?{} ORDER BY seq {order} LIMIT {BUDGET})",
            self.table, self.along.sql
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(self.from)
            .bind(self.to);
        let row = bind_all(statement, &self.along.binds)
            .fetch_one(conn)
            .await?;
        let count: i64 = row.try_get(0)?;
        let edge: Option<i64> = row.try_get(1)?;
        let (true, Some(edge)) = (count >= BUDGET, edge) else {
            return Ok(false);
        };
        if self.is_backward() {
            self.from = edge;
        } else {
            self.to = edge + 1;
        }
        Ok(true)
    }

    /// Closes the window at what is there now.
    pub(crate) async fn close_window(
        &mut self,
        conn: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let last = self.last(conn).await?;
        self.to = self.to.min(last.saturating_add(1));
        Ok(())
    }

    pub(crate) async fn run(mut self, conn: &mut SqliteConnection) -> Result<Found, Failure> {
        self.close_window(conn).await?;
        let is_cut = self.has_filter() && self.spend_budget(conn).await?;
        let seqs = self.seqs(conn).await?;
        Ok(self.found(seqs, is_cut))
    }

    async fn seqs(&self, conn: &mut SqliteConnection) -> Result<Vec<i64>, Failure> {
        let order = if self.is_backward() { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT seq FROM {} WHERE seq >= ? AND seq < ?{}{}{} ORDER BY seq {order} LIMIT ?",
            self.table, self.along.sql, self.times.sql, self.filter.sql
        );
        let mut statement = sqlx::query(AssertSqlSafe(sql))
            .bind(self.from)
            .bind(self.to);
        for part in [&self.along, &self.times, &self.filter] {
            statement = bind_all(statement, &part.binds);
        }
        let rows = statement
            .bind(self.limit.saturating_add(1))
            .fetch_all(conn)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// As [`Scan::run`], along each of several equal conditions on one
    /// indexed column, merged.
    pub(crate) async fn run_merged(
        mut self,
        conn: &mut SqliteConnection,
        column: &str,
        values: &[String],
    ) -> Result<Found, Failure> {
        self.close_window(conn).await?;
        let mut seqs = Vec::new();
        let mut along = Conditions::default();
        along.add(&format!("{column} = ?"), Vec::new());
        self.along = along;
        for value in values {
            self.along.binds = vec![Bind::text(value)];
            seqs.extend(self.seqs(conn).await?);
        }
        seqs.sort_unstable();
        if self.is_backward() {
            seqs.reverse();
        }
        Ok(self.found(seqs, false))
    }

    /// As [`Scan::run`], with a condition that only Rust can tell, on one
    /// column. The window is cut to the budget always, and read in strides
    /// until the page is full.
    pub(crate) async fn run_checked(
        mut self,
        conn: &mut SqliteConnection,
        column: &str,
        is_asked_for: impl Fn(&str) -> bool,
    ) -> Result<Found, Failure> {
        self.close_window(conn).await?;
        let is_cut = self.spend_budget(conn).await?;
        let order = if self.is_backward() { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT seq, {column} FROM {} WHERE seq >= ? AND seq < ?{}{} ORDER BY seq {order}",
            self.table, self.times.sql, self.filter.sql
        );
        let mut seqs = Vec::new();
        let (mut from, mut to) = (self.from, self.to);
        while from < to && signed(seqs.len()) <= self.limit {
            let (low, high) = if self.is_backward() {
                (from.max(to.saturating_sub(STRIDE)), to)
            } else {
                (from, to.min(from.saturating_add(STRIDE)))
            };
            let mut statement = sqlx::query(AssertSqlSafe(sql.clone())).bind(low).bind(high);
            for part in [&self.times, &self.filter] {
                statement = bind_all(statement, &part.binds);
            }
            for row in statement.fetch_all(&mut *conn).await? {
                if is_asked_for(row.try_get(1)?) {
                    seqs.push(row.try_get(0)?);
                }
            }
            if self.is_backward() {
                to = low;
            } else {
                from = high;
            }
        }
        Ok(self.found(seqs, is_cut))
    }

    /// Cuts a page out of what was found in the window.
    fn found(&self, mut seqs: Vec<i64>, is_cut: bool) -> Found {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = seqs.len() > limit;
        seqs.truncate(limit);
        let last = seqs.last().copied();
        let next = match self.position {
            Position::Newest | Position::Before(_) if has_more => last,
            Position::Newest | Position::Before(_) => is_cut.then_some(self.from),
            Position::After(Cursor(start)) if has_more || (self.has_end && !is_cut) => {
                Some(last.unwrap_or(start))
            }
            // Everything below has been seen; what comes later lies above.
            Position::After(Cursor(start)) => Some(start.max(self.to.saturating_sub(1))),
        };
        Found { seqs, next }
    }
}

impl Found {
    /// Ends the page after `count` rows.
    pub(crate) fn cut(&mut self, count: usize) {
        if count < self.seqs.len() {
            self.seqs.truncate(count);
            self.next = self.seqs.last().copied();
        }
    }

    /// The page, of rows that were read in ascending order of `seq`.
    pub(crate) fn page<T>(
        &self,
        rows: &[SqliteRow],
        item: impl Fn(&SqliteRow) -> Result<T, Failure>,
    ) -> Result<Page<T>, Failure> {
        let items: Result<Vec<T>, Failure> = rows.iter().map(item).collect();
        Ok(self.page_of(items?))
    }

    /// The page, of items in ascending order of `seq`.
    pub(crate) fn page_of<T>(&self, mut items: Vec<T>) -> Page<T> {
        if self.seqs.first() > self.seqs.last() {
            items.reverse();
        }
        Page {
            items,
            next: self.next.map(Cursor),
        }
    }
}
