//! Tokens: a row for each, its hash beside what people may see of it.

use std::path::Path;

use async_trait::async_trait;
use model::{
    audit::{AuditAction, AuditDraft},
    clock::Timestamp,
    id::{Principal, TokenId},
    ports::{
        StoreError,
        access::{Created, KeptToken, MOST_TOKENS, Revoked, TokenDraft, Tokens},
    },
    token::{Role, SecretHash, Token},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{
    SqliteStore, audit,
    failure::Failure,
    rows::{self, parse, time},
    writer::{Tx, Write},
};

const COLUMNS: &str = "SELECT id, name, role, hash, created, created_by, expires, last_used,
     revoked, revoked_by FROM tokens";

impl SqliteStore {
    /// Whether the store at `path` has tokens, as far as can be seen without
    /// being its owner. Nothing is written, and no file is made.
    pub async fn has_tokens(path: &Path) -> Option<bool> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let is_quiet = fs_err::metadata(wal).map_or(true, |found| found.len() == 0);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(is_quiet)
            .disable_statement_logging();
        let mut conn = options.connect().await.ok()?;
        let count: Option<i64> = sqlx::query_scalar("SELECT count(*) FROM tokens")
            .fetch_one(&mut conn)
            .await
            .ok();
        conn.close().await.ok();
        Some(count? > 0)
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn create(&self, draft: TokenDraft) -> Result<Created, StoreError> {
        self.write(Create(draft)).await
    }

    async fn all(&self) -> Result<Vec<KeptToken>, StoreError> {
        self.read(async { all(&mut *self.reader().await?).await })
            .await
    }

    async fn revoke(&self, id: &TokenId, by: &Principal) -> Result<Revoked, StoreError> {
        self.write(Revoke {
            id: id.clone(),
            by: by.clone(),
        })
        .await
    }

    async fn used(&self, uses: &[(TokenId, Timestamp)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        self.write(Used(uses.to_vec())).await
    }
}

/// See `Tokens::create`.
struct Create(TokenDraft);

#[async_trait]
impl Write for Create {
    type Answer = Created;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Created, Failure> {
        let TokenDraft {
            id,
            hash,
            name,
            role,
            expires,
            by,
        } = &self.0;
        let taken: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tokens WHERE name = ? AND revoked IS NULL")
                .bind(name.as_str().to_owned())
                .fetch_one(&mut *tx.conn)
                .await?;
        if taken > 0 {
            return Ok(Created::NameTaken);
        }
        if !has_room(tx).await? {
            return Ok(Created::Full);
        }
        sqlx::query(
            "INSERT INTO tokens (id, name, role, hash, created, created_by, expires)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.as_str().to_owned())
        .bind(name.as_str().to_owned())
        .bind(role.as_str())
        .bind(hash.0.to_vec())
        .bind(tx.now.wall.as_millis())
        .bind(by.0.clone())
        .bind(expires.map(Timestamp::as_millis))
        .execute(&mut *tx.conn)
        .await?;
        let token = Token {
            id: id.clone(),
            name: name.clone(),
            role: *role,
            created: tx.now.wall,
            created_by: by.clone(),
            expires: *expires,
            last_used: None,
            revoked: None,
        };
        note(tx, AuditAction::TokenCreate, (&token, by)).await?;
        Ok(Created::Done(token))
    }
}

/// Whether one more can be kept; the oldest that ended makes room.
async fn has_room(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens")
        .fetch_one(&mut *tx.conn)
        .await?;
    if usize::try_from(count).is_ok_and(|count| count < MOST_TOKENS) {
        return Ok(true);
    }
    let forgotten = sqlx::query(
        "DELETE FROM tokens WHERE seq = (
             SELECT min(seq) FROM tokens WHERE revoked IS NOT NULL OR expires <= ?)",
    )
    .bind(tx.now.wall.as_millis())
    .execute(&mut *tx.conn)
    .await?;
    Ok(forgotten.rows_affected() > 0)
}

/// See `Tokens::revoke`.
struct Revoke {
    id: TokenId,
    by: Principal,
}

#[async_trait]
impl Write for Revoke {
    type Answer = Revoked;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Revoked, Failure> {
        let Some(token) = get(tx.conn, &self.id).await? else {
            return Ok(Revoked::NotFound);
        };
        if token.revoked.is_some() {
            return Ok(Revoked::Before(token));
        }
        sqlx::query("UPDATE tokens SET revoked = ?, revoked_by = ? WHERE id = ?")
            .bind(tx.now.wall.as_millis())
            .bind(self.by.0.clone())
            .bind(self.id.as_str().to_owned())
            .execute(&mut *tx.conn)
            .await?;
        note(tx, AuditAction::TokenRevoke, (&token, &self.by)).await?;
        Ok(Revoked::Done(Token {
            revoked: Some((tx.now.wall, self.by.clone())),
            ..token
        }))
    }
}

async fn note(
    tx: &mut Tx<'_>,
    action: AuditAction,
    (token, by): (&Token, &Principal),
) -> Result<(), Failure> {
    let draft = AuditDraft {
        by: by.clone(),
        action,
        target: token.name.to_string(),
        detail: Some(token.described()),
    };
    audit::record(tx, &draft).await
}

/// See `Tokens::used`.
struct Used(Vec<(TokenId, Timestamp)>);

#[async_trait]
impl Write for Used {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        for (id, at) in &self.0 {
            sqlx::query(
                "UPDATE tokens SET last_used = max(coalesce(last_used, ?1), ?1) WHERE id = ?2",
            )
            .bind(at.as_millis())
            .bind(id.as_str().to_owned())
            .execute(&mut *tx.conn)
            .await?;
        }
        Ok(())
    }
}

/// See `Tokens::all`.
async fn all(conn: &mut SqliteConnection) -> Result<Vec<KeptToken>, Failure> {
    let sql = format!("{COLUMNS} ORDER BY seq DESC");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await?;
    rows.iter().map(kept).collect()
}

async fn get(conn: &mut SqliteConnection, id: &TokenId) -> Result<Option<Token>, Failure> {
    let sql = format!("{COLUMNS} WHERE id = ?");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.as_str().to_owned())
        .fetch_optional(conn)
        .await?;
    row.as_ref()
        .map(|row| kept(row).map(|kept| kept.token))
        .transpose()
}

fn kept(row: &SqliteRow) -> Result<KeptToken, Failure> {
    let hash: &[u8] = row.try_get("hash")?;
    let hash = hash
        .try_into()
        .map_err(|_| Failure::corrupt("hash of a token".to_owned()))?;
    Ok(KeptToken {
        token: Token {
            id: parse(row.try_get("id")?, "token id")?,
            name: parse(row.try_get("name")?, "token name")?,
            role: parse::<Role>(row.try_get("role")?, "role of a token")?,
            created: Timestamp::from_millis(row.try_get("created")?),
            created_by: Principal(row.try_get("created_by")?),
            expires: time(row.try_get("expires")?),
            last_used: time(row.try_get("last_used")?),
            revoked: time(row.try_get("revoked")?).zip(rows::principal(row.try_get("revoked_by")?)),
        },
        hash: SecretHash(hash),
    })
}
