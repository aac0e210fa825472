//! The ClickHouse engine, loaded from a shared library (`libchdb`).
//!
//! The library's C interface (`programs/local/chdb.h` of chdb-core) has traps, and this binding closes them with types:
//! a connection runs one query at a time (`&mut`), an open stream borrows its connection, what a result points at lives
//! as long as the result, and a stream's end is told apart from a stream that broke. Nothing outside may call the C
//! functions; what is answered to whom is decided elsewhere.

#![expect(unsafe_code, reason = "a C library is called; every block says why it may")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::Arc,
};

use libloading::Library;
use thiserror::Error;

use super::exception::Exception;

/// Why the engine could not be had.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The shared library could not be loaded.
    #[error("cannot load the ClickHouse library {path}: {source}; is it complete, and built for this machine?")]
    Load {
        /// The library's path.
        path: PathBuf,
        /// What the loader said.
        source: libloading::Error,
    },
    /// A function that this binding needs is not in the library.
    #[error("{path} has no function `{function}`: it is not libchdb 26.5 or one like it ({source})")]
    Function {
        /// The library's path.
        path: PathBuf,
        /// The C name.
        function: &'static str,
        /// What the loader said.
        source: libloading::Error,
    },
    /// A path has a NUL byte in it.
    #[error("the path {0} has a NUL byte in it, which the engine cannot be given")]
    Path(PathBuf),
    /// The engine refused to start or to open one more connection. It gives no reason; its log does.
    #[error("the engine opened no connection on {data}: see its log (another process on the same folder, perhaps?)")]
    Connect {
        /// The data folder.
        data: PathBuf,
    },
}

type Handle = *mut c_void;
type Destroy = unsafe extern "C" fn(Handle);
type Query = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Handle;

/// The functions of the library, found once. The library itself is never unloaded: its threads outlive any caller.
struct Api {
    connect: unsafe extern "C" fn(c_int, *const *const c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: Query,
    stream: Query,
    fetch: unsafe extern "C" fn(Handle, Handle) -> Handle,
    cancel: unsafe extern "C" fn(Handle, Handle),
    destroy: Destroy,
    buffer: unsafe extern "C" fn(Handle) -> *const u8,
    length: unsafe extern "C" fn(Handle) -> usize,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    counters: [unsafe extern "C" fn(Handle) -> u64; 5],
    _library: ManuallyDrop<Library>,
}

impl Api {
    fn load(path: &Path) -> Result<Self, EngineError> {
        // SAFETY: loading runs the library's initialisers. The caller names libchdb, whose initialisers only prepare
        // its allocator and its tables.
        let library =
            unsafe { Library::new(path) }.map_err(|source| EngineError::Load { path: path.to_owned(), source })?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type that the field asks for is the C declaration of this function in chdb.h, and the
                // library stays loaded as long as the process lives (ManuallyDrop).
                *unsafe { library.get($name.as_bytes()) }.map_err(|source| EngineError::Function {
                    path: path.to_owned(),
                    function: $name,
                    source,
                })?
            };
        }
        Ok(Self {
            connect: function!("chdb_connect"),
            close: function!("chdb_close_conn"),
            query: function!("chdb_query_with_params_n"),
            stream: function!("chdb_stream_query_with_params_n"),
            fetch: function!("chdb_stream_fetch_result"),
            cancel: function!("chdb_stream_cancel_query"),
            destroy: function!("chdb_destroy_query_result"),
            buffer: function!("chdb_result_buffer"),
            length: function!("chdb_result_length"),
            error: function!("chdb_result_error"),
            counters: [
                function!("chdb_result_rows_read"),
                function!("chdb_result_storage_rows_read"),
                function!("chdb_result_storage_bytes_read"),
                function!("chdb_result_rows_written"),
                function!("chdb_result_bytes_written"),
            ],
            _library: ManuallyDrop::new(library),
        })
    }
}

/// The engine on one data folder. One per process: the library keeps its state in globals.
pub struct Engine {
    api: Arc<Api>,
    arguments: Vec<CString>,
    data: PathBuf,
    /// The engine shuts itself down with its last connection, so one is kept.
    _keeper: std::sync::Mutex<Connection>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Engine {
    /// Loads `library` and starts the engine on the folder `data` with the configuration file `configuration`.
    ///
    /// The file must be given: without one the engine reads whatever `config.xml` lies in the working directory.
    ///
    /// # Errors
    /// [`EngineError`] when the library is not there or not libchdb, or when the engine does not start.
    pub fn open(library: &Path, data: &Path, configuration: &Path) -> Result<Self, EngineError> {
        let argument = |name: &str, path: &Path| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.extend_from_slice(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
            CString::new(bytes).map_err(|_| EngineError::Path(path.to_owned()))
        };
        let arguments =
            vec![CString::from(c"clickhouse"), argument("--path=", data)?, argument("--config-file=", configuration)?];
        let api = Arc::new(Api::load(library)?);
        let keeper = std::sync::Mutex::new(Connection::open(&api, &arguments, data)?);
        Ok(Self { api, arguments, data: data.to_owned(), _keeper: keeper })
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A new connection, with a session (settings, current database) of its own; costs about 0.3 ms.
    ///
    /// # Errors
    /// [`EngineError::Connect`].
    pub fn connect(&self) -> Result<Connection, EngineError> {
        Connection::open(&self.api, &self.arguments, &self.data)
    }
}

/// A connection to the engine: one session, one query at a time. Its calls block.
pub struct Connection {
    api: Arc<Api>,
    handle: NonNull<Handle>,
}

// SAFETY: the library ties a connection to no thread (each call attaches the calling thread to the query's group and
// takes the connection's mutex); `&mut self` keeps calls apart.
unsafe impl Send for Connection {}

impl Connection {
    fn open(api: &Arc<Api>, arguments: &[CString], data: &Path) -> Result<Self, EngineError> {
        let pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        // SAFETY: argc and argv describe NUL-terminated strings that outlive the call; the library copies them.
        let handle = unsafe { (api.connect)(pointers.len() as c_int, pointers.as_ptr()) };
        let handle = NonNull::new(handle).ok_or_else(|| EngineError::Connect { data: data.to_owned() })?;
        Ok(Self { api: Arc::clone(api), handle })
    }

    fn raw(&self) -> Handle {
        // SAFETY: `chdb_connect` returned this pointer to a connection, and only `drop` gives it back.
        unsafe { *self.handle.as_ptr() }
    }

    fn call(&self, function: Query, sql: &str, format: &str, parameters: &[(String, String)]) -> Outcome {
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_ptr().cast::<c_char>()).collect();
        let name_lengths: Vec<_> = parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<_> = parameters.iter().map(|(_, value)| value.as_ptr().cast::<c_char>()).collect();
        let value_lengths: Vec<_> = parameters.iter().map(|(_, value)| value.len()).collect();
        // SAFETY: every pointer comes with its length and outlives the call, which copies what it keeps; the
        // connection is open.
        let handle = unsafe {
            function(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        Outcome { api: Arc::clone(&self.api), handle }
    }

    /// Runs one statement to its end and returns the whole answer.
    ///
    /// `parameters` are the values of `{name:Type}` in the statement, as text; they never become SQL.
    ///
    /// # Errors
    /// The engine's [`Exception`].
    pub fn query(&mut self, sql: &str, format: &str, parameters: &[(String, String)]) -> Result<Chunk, Exception> {
        self.call(self.api.query, sql, format, parameters).into_chunk()
    }

    /// Starts one SELECT whose answer comes in pieces. Each piece is a *document of its own* in `format`: a header
    /// comes again with every piece, and a footer too, so only formats without either can simply be joined.
    ///
    /// # Errors
    /// The engine's [`Exception`]; for a statement that is no SELECT, one that [`Exception::is_not_streamable`].
    pub fn stream(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Stream<'_>, Exception> {
        let outcome = self.call(self.api.stream, sql, format, parameters);
        match outcome.exception() {
            Some(exception) => Err(exception),
            None => Ok(Stream { connection: self, outcome, state: StreamState::Open }),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the pointer is the one that `chdb_connect` returned, and this is the only call that gives it back.
        unsafe { (self.api.close)(self.handle.as_ptr()) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamState {
    Open,
    /// The last piece held no rows: the engine has closed the stream, and a further fetch would be an error.
    Closed,
}

/// A running SELECT. Dropping it cancels what is left of the query.
pub struct Stream<'connection> {
    connection: &'connection mut Connection,
    outcome: Outcome,
    state: StreamState,
}

impl Stream<'_> {
    /// The next piece of the answer, or `None` at its end. Blocks until there is one.
    ///
    /// # Errors
    /// The engine's [`Exception`], at any point of the answer: what came before is then incomplete.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Exception> {
        if self.state == StreamState::Closed {
            return Ok(None);
        }
        // SAFETY: connection and stream are alive, and `&mut` makes this the only call on them.
        let handle = unsafe { (self.connection.api.fetch)(self.connection.raw(), self.outcome.handle) };
        let fetched = Outcome { api: Arc::clone(&self.connection.api), handle }.into_chunk();
        // The engine ends a stream with a piece that holds no rows. It may still hold bytes (a header of an answer
        // without rows). After it, and after an exception, it knows the stream no more.
        if fetched.as_ref().map_or(true, |chunk| chunk.counters.result_rows == 0) {
            self.state = StreamState::Closed;
        }
        let chunk = fetched?;
        Ok((self.state == StreamState::Open || !chunk.as_ref().is_empty()).then_some(chunk))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.state == StreamState::Open {
            // SAFETY: connection and stream are alive. Cancelling before the handle goes takes the engine out of its
            // streaming state.
            unsafe { (self.connection.api.cancel)(self.connection.raw(), self.outcome.handle) }
        }
    }
}

/// What a query did, as far as the engine tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows in the answer.
    pub result_rows: u64,
    /// Rows read from tables.
    pub read_rows: u64,
    /// Bytes read from tables.
    pub read_bytes: u64,
    /// Rows written, those of materialized views too.
    pub written_rows: u64,
    /// Bytes written, those of materialized views too.
    pub written_bytes: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.result_rows += other.result_rows;
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
    }
}

/// A result that the library owns, given back when dropped.
struct Outcome {
    api: Arc<Api>,
    handle: Handle,
}

// SAFETY: a result is a heap object that nothing else refers to; the library frees it from any thread.
unsafe impl Send for Outcome {}
// SAFETY: reading a result changes nothing in it.
unsafe impl Sync for Outcome {}

impl Outcome {
    fn exception(&self) -> Option<Exception> {
        if self.handle.is_null() {
            return Some(Exception::new(1001, "STD_EXCEPTION", "the engine returned no result."));
        }
        // SAFETY: the result is alive; the text, when there is one, is NUL-terminated and lives as long as it.
        let text = unsafe {
            let pointer = (self.api.error)(self.handle);
            (!pointer.is_null()).then(|| CStr::from_ptr(pointer).to_string_lossy().into_owned())
        };
        text.map(|text| Exception::parse(&text))
    }

    fn into_chunk(self) -> Result<Chunk, Exception> {
        if let Some(exception) = self.exception() {
            return Err(exception);
        }
        // SAFETY: the result is alive and no error (the counters of an error are not initialised), as just checked.
        let [result_rows, read_rows, read_bytes, written_rows, written_bytes] =
            self.api.counters.map(|counter| unsafe { counter(self.handle) });
        let counters = Counters { result_rows, read_rows, read_bytes, written_rows, written_bytes };
        Ok(Chunk { outcome: self, counters })
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle came from the library and is given back once.
            unsafe { (self.api.destroy)(self.handle) }
        }
    }
}

/// A whole answer, or a piece of one: bytes that the library keeps until this is dropped.
pub struct Chunk {
    outcome: Outcome,
    /// What the query did (for a piece: since the piece before).
    pub counters: Counters,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the result is alive and no error; buffer and length describe memory that it owns and leaves alone.
        unsafe {
            let (pointer, length) =
                ((self.outcome.api.buffer)(self.outcome.handle), (self.outcome.api.length)(self.outcome.handle));
            if pointer.is_null() || length == 0 { &[] } else { std::slice::from_raw_parts(pointer, length) }
        }
    }
}

/// Ends the process at once: no `atexit` handler runs, for those of the engine take its threads apart under their feet.
/// What the engine has acknowledged is in files by then.
pub fn leave(code: u8) -> ! {
    #[cfg(unix)]
    {
        let this: Library = libloading::os::unix::Library::this().into();
        // SAFETY: `_exit` is the C library's, is declared so and never returns.
        unsafe {
            if let Ok(exit) = this.get::<unsafe extern "C" fn(c_int) -> !>(b"_exit") {
                exit(c_int::from(code))
            }
        }
    }
    std::process::exit(i32::from(code))
}
