package splade_lucene;

import io.anserini.analysis.DefaultEnglishAnalyzer;
import io.anserini.index.Constants;
import io.anserini.search.similarity.ImpactSimilarity;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.miscellaneous.EmptyTokenStream;
import org.apache.lucene.document.BinaryDocValuesField;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.document.NumericDocValuesField;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.index.BinaryDocValues;
import org.apache.lucene.index.CorruptIndexException;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexFileNames;
import org.apache.lucene.index.IndexFormatTooOldException;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.NumericDocValues;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Term;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.search.similarities.PerFieldSimilarityWrapper;
import org.apache.lucene.search.similarities.Similarity;
import org.apache.lucene.store.AlreadyClosedException;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.store.Lock;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.BytesRefHash;
import org.apache.lucene.util.FixedBitSet;

/**
 * Writes impact vectors as Lucene postings, in Anserini's schema: {@code id} stored, indexed and as doc values,
 * {@code contents} with documents and frequencies, {@code raw} stored where texts are given. Beside it, on request: a
 * text that is searched by BM25, and fields that are stored and, where short, can be filtered on.
 *
 * <p>Laws: nothing is visible before a commit, and everything with it, the manifest included; {@link #rollback} or a
 * killed process leave the folder's last commit as it was. The postings do not depend on the number of threads.
 *
 * <p>One thread calls it.
 */
public final class ImpactWriter {
  /** Where the manifest stands in the commit's user data. */
  static final String MANIFEST = "splade_lucene";

  /** The field whose text is searched by BM25. */
  static final String BM25 = "bm25";

  private static final String TERMS = "contents.terms"; // how many terms a document has: counts survive deletes by it
  private static final byte ABSENT = (byte) 0xFF; // a byte that UTF-8 never uses
  private static final int LONGEST_FILTER = 256; // bytes of a stored value that can still be filtered on
  private static final int BATCHES_AHEAD = 2; // for each thread: enough to keep it busy, little to hold in memory

  private final Directory directory;
  private final IndexWriter writer;
  private final ExecutorService workers;
  private final Semaphore room;
  private final int threads;
  private final AtomicReference<Throwable> failure = new AtomicReference<>();
  private volatile boolean cancelled;
  private BytesRef[] vocabulary = new BytesRef[0];
  private String[] columns = new String[0];
  private DirectoryReader view;
  private BytesRefHash given;
  private BytesRefHash removed;

  /**
   * Starts an index that will replace whatever the folder holds now, once it is committed.
   *
   * @param overwrite whether an index that cannot be read any more may be replaced; it is given up at once
   */
  public ImpactWriter(String path, int threads, boolean overwrite) throws IOException {
    this(path, threads, overwrite, IndexWriterConfig.OpenMode.CREATE);
  }

  /** Goes on from the index's last commit. */
  public static ImpactWriter onto(String path, int threads) throws IOException {
    return new ImpactWriter(path, threads, false, IndexWriterConfig.OpenMode.APPEND);
  }

  private ImpactWriter(String path, int threads, boolean overwrite, IndexWriterConfig.OpenMode mode)
      throws IOException {
    directory = FSDirectory.open(Path.of(path));
    writer = open(directory, overwrite, mode);
    workers = Executors.newFixedThreadPool(threads, ImpactWriter::daemon);
    room = new Semaphore(threads * BATCHES_AHEAD);
    this.threads = threads;
  }

  private static IndexWriterConfig config(IndexWriterConfig.OpenMode mode) {
    IndexWriterConfig config = new IndexWriterConfig(DefaultEnglishAnalyzer.newDefaultInstance());
    config.setOpenMode(mode);
    config.setSimilarity(new ByField());
    config.setRAMBufferSizeMB(Math.min(1024, Runtime.getRuntime().maxMemory() / (1 << 20) / 4));
    config.setUseCompoundFile(false);
    config.setCommitOnClose(false);
    return config;
  }

  /** What is kept of a document's length: nothing for impacts, as Anserini has it, and what BM25 wants for a text. */
  private static final class ByField extends PerFieldSimilarityWrapper {
    private static final Similarity IMPACTS = new ImpactSimilarity();

    @Override
    public Similarity get(String field) {
      return field.equals(BM25) ? TextSearcher.SIMILARITY : IMPACTS;
    }
  }

  private static IndexWriter open(Directory directory, boolean overwrite, IndexWriterConfig.OpenMode mode)
      throws IOException {
    try {
      if (overwrite) {
        giveUpUnreadable(directory);
      }
      return new IndexWriter(directory, config(mode));
    } catch (IOException | RuntimeException e) {
      directory.close();
      throw e;
    }
  }

  /** Lucene reads the old index even where it is to be replaced: one that is damaged would be in the way for ever. */
  private static void giveUpUnreadable(Directory directory) throws IOException {
    try (Lock lock = directory.obtainLock(IndexWriter.WRITE_LOCK_NAME)) {
      lock.ensureValid();
      if (!readable(directory)) {
        for (String file : directory.listAll()) {
          if (file.startsWith(IndexFileNames.SEGMENTS)) {
            directory.deleteFile(file);
          }
        }
      }
    }
  }

  private static boolean readable(Directory directory) throws IOException {
    try {
      if (DirectoryReader.indexExists(directory)) {
        DirectoryReader.open(directory).close();
      }
      return true;
    } catch (CorruptIndexException | IndexFormatTooOldException | EOFException | NoSuchFileException e) {
      return false;
    }
  }

  static Thread daemon(Runnable work) {
    Thread thread = new Thread(work, "splade-lucene-worker");
    thread.setDaemon(true);
    return thread;
  }

  /**
   * Throws the OutOfMemoryError that handing over so many bytes would meet: here it is an exception, while pyjnius does
   * not look whether the array that it asked for was made, and the process dies.
   */
  public static void expect(int bytes) {
    Objects.requireNonNull(new byte[bytes]);
  }

  /** The manifest of the commit that this writer goes on from, or null where it has none. */
  public String manifest() {
    for (Map.Entry<String, String> entry : writer.getLiveCommitData()) {
      if (entry.getKey().equals(MANIFEST)) {
        return entry.getValue();
      }
    }
    return null;
  }

  /**
   * What is stored of each document: {@code raw} is stored, {@link #BM25} is analyzed and indexed, any other field is
   * stored and, up to a length, indexed as one exact term.
   */
  public void columns(byte[] names) {
    BytesRef[] packed = Packed.strings(names);
    columns = new String[packed.length];
    for (int i = 0; i < packed.length; i++) {
      columns[i] = packed[i].utf8ToString();
    }
  }

  /** The terms that the term ids of all batches after this call stand for. */
  public void vocabulary(byte[] terms) {
    vocabulary = Packed.strings(terms);
  }

  /**
   * Hands over a batch, CSR: document i has the terms and impacts from indptr[i] to indptr[i + 1]. Returns at once
   * unless the workers are far behind; what goes wrong in a worker is thrown by a later call.
   *
   * @param values of each document its columns one after another, the single byte 0xFF where it has none; or null
   */
  public void add(byte[] ids, byte[] indptr, byte[] terms, byte[] impacts, byte[] values) throws Exception {
    BytesRef[] batchVocabulary = vocabulary;
    room.acquire();
    if (failure.get() != null) {
      room.release();
      throwFailure();
    }
    workers.execute(
        () -> {
          try {
            addAll(
                batchVocabulary,
                Packed.strings(ids),
                Packed.ints(indptr),
                Packed.ints(terms),
                Packed.ints(impacts),
                values == null ? null : Packed.strings(values));
          } catch (Throwable e) { // an OutOfMemoryError too must reach the caller
            failure.compareAndSet(null, e);
          } finally {
            room.release();
          }
        });
  }

  private void addAll(
      BytesRef[] vocabulary, BytesRef[] ids, int[] indptr, int[] terms, int[] impacts, BytesRef[] values)
      throws IOException {
    FieldType postings = new FieldType();
    postings.setIndexOptions(IndexOptions.DOCS_AND_FREQS);
    postings.freeze();
    ImpactTokenStream stream = new ImpactTokenStream();
    Field contents = new Field(Constants.CONTENTS, stream, postings);
    for (int i = 0; i < ids.length && !cancelled && failure.get() == null; i++) {
      Document document = new Document();
      document.add(new StringField(Constants.ID, ids[i].utf8ToString(), Field.Store.YES));
      document.add(new BinaryDocValuesField(Constants.ID, ids[i]));
      document.add(new NumericDocValuesField(TERMS, indptr[i + 1] - indptr[i]));
      for (int column = 0; values != null && column < columns.length; column++) {
        BytesRef value = values[i * columns.length + column];
        if (value.length != 1 || value.bytes[value.offset] != ABSENT) {
          document.add(field(columns[column], value, postings));
        }
      }
      stream.of(vocabulary, terms, impacts, indptr[i], indptr[i + 1]);
      document.add(contents);
      writer.addDocument(document);
    }
  }

  private static Field field(String name, BytesRef value, FieldType analyzed) {
    String text = value.utf8ToString();
    if (name.equals(BM25)) {
      return new Field(name, text, analyzed);
    }
    if (name.equals(Constants.RAW)) {
      return new StoredField(name, text);
    }
    return value.length <= LONGEST_FILTER ? new StringField(name, text, Field.Store.YES) : new LongValue(name, text);
  }

  /** A stored value without a term, but indexed: Lucene wants a field to be indexed in all documents or in none. */
  private static final class LongValue extends Field {
    private static final FieldType TYPE = new FieldType(StringField.TYPE_STORED);

    static {
      TYPE.setTokenized(true);
      TYPE.freeze();
    }

    LongValue(String name, String value) {
      super(name, value, TYPE);
    }

    @Override
    public TokenStream tokenStream(Analyzer analyzer, TokenStream reused) {
      return new EmptyTokenStream();
    }
  }

  /** Adds what another, finished index holds: how an index that Anserini built gets its manifest. */
  public Job addIndex(String path) {
    return Job.start(
        job -> {
          try (Directory other = FSDirectory.open(Path.of(path))) {
            writer.addIndexes(other);
          }
          return null;
        });
  }

  /**
   * Waits for the workers, looks for a doc_id that was given twice, and merges the segments into one if so asked.
   *
   * @param reorder give the documents of that segment new numbers, so that neighbours share terms
   * @return a job whose answer is the packed list of repeated doc_ids: empty, or the first one in byte order
   */
  public Job finish(boolean merge, boolean reorder) {
    return Job.start(
        job -> {
          workers.shutdown();
          workers.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
          throwFailure();
          BytesRef repeated = repeatedId();
          if (repeated == null && reorder) {
            ReorderingMerges.merge(writer, threads);
          } else if (repeated == null && merge) {
            writer.forceMerge(1);
          }
          return Packed.pack(repeated == null ? List.of() : List.of(repeated));
        });
  }

  private BytesRef repeatedId() throws IOException {
    try (DirectoryReader reader = DirectoryReader.open(writer)) {
      Terms ids = MultiTerms.getTerms(reader, Constants.ID);
      if (ids == null) {
        return null;
      }
      TermsEnum each = ids.iterator();
      for (BytesRef id = each.next(); id != null; id = each.next()) {
        if (each.docFreq() > 1) {
          return BytesRef.deepCopyOf(id);
        }
      }
      return null;
    }
  }

  /** Waits for the workers, and throws what went wrong in one. */
  private void settle() throws Exception {
    int all = threads * BATCHES_AHEAD;
    room.acquire(all);
    room.release(all);
    throwFailure();
  }

  /** Takes stock before documents are handed over: what {@link #present} and {@link #remove} then speak of. */
  public Job view() {
    return Job.start(
        job -> {
          settle();
          closeView();
          view = DirectoryReader.open(writer);
          given = new BytesRefHash();
          removed = new BytesRefHash();
          return null;
        });
  }

  private void closeView() throws IOException {
    if (view != null) {
      view.close();
      view = null;
    }
  }

  /** Notes doc_ids that are handed over; the packed list of the first one that was there since {@link #view}, if any. */
  public byte[] repeated(byte[] ids) {
    for (BytesRef id : Packed.strings(ids)) {
      if (given.add(id) < 0) {
        return Packed.pack(List.of(id));
      }
    }
    return Packed.pack(List.of());
  }

  /**
   * Those of these doc_ids that the index had at {@link #view}, packed.
   *
   * @param passages the ids are of documents that stand there as passages; the answer has the ids of all of these
   */
  public byte[] present(byte[] ids, boolean passages) throws IOException {
    DocFilter filter = passages ? DocFilter.ofPassages(view, ids) : DocFilter.ofIds(view, ids);
    List<BytesRef> found = new ArrayList<>(filter.size());
    for (LeafReaderContext leaf : view.leaves()) {
      BinaryDocValues names = leaf.reader().getBinaryDocValues(Constants.ID);
      DocIdSetIterator each = filter.iterator(leaf);
      for (int doc = each.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = each.nextDoc()) {
        if (!names.advanceExact(doc)) {
          throw new IllegalStateException("document " + (leaf.docBase + doc) + " has no doc values in field id");
        }
        found.add(BytesRef.deepCopyOf(names.binaryValue()));
      }
    }
    return Packed.pack(found);
  }

  /**
   * Removes documents that the index had at {@link #view}; what was handed over since under these ids stays.
   *
   * @return how many of them were not removed before
   */
  public int remove(byte[] ids) throws IOException {
    List<Term> terms = new ArrayList<>();
    for (BytesRef id : Packed.strings(ids)) {
      if (removed.add(id) >= 0) { // once: by now there may be a new document of this name
        terms.add(new Term(Constants.ID, id));
      }
    }
    writer.deleteDocuments(terms.toArray(new Term[0]));
    return terms.size();
  }

  /** Merges into so many segments at most, and drops what was deleted. */
  public Job merge(int segments, boolean reorder) {
    return Job.start(
        job -> {
          settle();
          if (reorder) {
            ReorderingMerges.merge(writer, threads);
          } else {
            writer.forceMerge(segments);
          }
          return null;
        });
  }

  /**
   * Waits for the workers and counts what there is now, deletes applied.
   *
   * @return {@code int64[3]}: documents, those of them without a posting, postings
   */
  public Job counts() {
    return Job.start(
        job -> {
          settle();
          long[] counts = new long[3];
          try (DirectoryReader reader = DirectoryReader.open(writer)) {
            for (LeafReaderContext leaf : reader.leaves()) {
              count(leaf.reader(), counts);
            }
          }
          return Packed.pack(counts);
        });
  }

  private static void count(LeafReader segment, long[] counts) throws IOException {
    counts[0] += segment.numDocs();
    Terms contents = segment.terms(Constants.CONTENTS);
    if (contents == null) {
      counts[1] += segment.numDocs();
    } else if (segment.getLiveDocs() == null) {
      counts[1] += segment.numDocs() - contents.getDocCount();
      counts[2] += contents.getSumDocFreq();
    } else if (!countTerms(segment, counts)) {
      countPostings(segment, contents, counts);
    }
  }

  /** Counts what is left of a segment by its documents' own counts; false where it has documents without one. */
  private static boolean countTerms(LeafReader segment, long[] counts) throws IOException {
    NumericDocValues terms = segment.getNumericDocValues(TERMS);
    Bits live = segment.getLiveDocs();
    long empty = 0;
    long postings = 0;
    for (int doc = 0; doc < segment.maxDoc(); doc++) {
      if (live.get(doc)) {
        if (terms == null || !terms.advanceExact(doc)) {
          return false;
        }
        empty += terms.longValue() == 0 ? 1 : 0;
        postings += terms.longValue();
      }
    }
    counts[1] += empty;
    counts[2] += postings;
    return true;
  }

  /** The same the long way, for documents that Anserini wrote. */
  private static void countPostings(LeafReader segment, Terms contents, long[] counts) throws IOException {
    Bits live = segment.getLiveDocs();
    FixedBitSet withPosting = new FixedBitSet(segment.maxDoc());
    TermsEnum each = contents.iterator();
    PostingsEnum postings = null;
    while (each.next() != null) {
      postings = each.postings(postings, PostingsEnum.NONE);
      for (int doc = postings.nextDoc(); doc != DocIdSetIterator.NO_MORE_DOCS; doc = postings.nextDoc()) {
        if (live.get(doc)) {
          withPosting.set(doc);
          counts[2]++;
        }
      }
    }
    counts[1] += segment.numDocs() - withPosting.cardinality();
  }

  /** Whether there is anything that the last commit does not have. */
  public boolean changed() {
    return writer.hasUncommittedChanges();
  }

  /** Makes everything visible at once, with its manifest, and goes on. */
  public void checkpoint(String manifest) throws IOException {
    closeView();
    writer.setLiveCommitData(Map.of(MANIFEST, manifest).entrySet());
    writer.commit();
  }

  /** Makes everything visible at once, with its manifest, and closes. */
  public void commit(String manifest) throws IOException {
    checkpoint(manifest);
    close();
  }

  /** Closes; what was not committed is forgotten. */
  public void close() throws IOException {
    workers.shutdown();
    closeView();
    writer.close();
    directory.close();
  }

  /** Forgets everything since the last commit, stops all work and closes. */
  public void rollback() throws IOException {
    cancelled = true;
    workers.shutdown();
    try {
      closeView();
      writer.rollback();
      if (writer.getTragicException() != null) {
        removeLeavings();
      }
    } finally {
      directory.close();
    }
  }

  /** A writer that died of an error leaves its files behind, and the next one to open removes them. */
  private void removeLeavings() {
    try {
      new IndexWriter(directory, config(IndexWriterConfig.OpenMode.CREATE)).rollback();
    } catch (IOException e) {
      // Somebody else builds here by now, and removes them; or the disk is worse than full: what went wrong first is told.
    }
  }

  private void throwFailure() throws Exception {
    Throwable first = failure.get();
    // One worker's fatal error closes the writer, and the others may be first to say that it is closed.
    switch (first instanceof AlreadyClosedException && writer.getTragicException() != null
        ? writer.getTragicException()
        : first) {
      case null -> {}
      case Error error -> throw error;
      case Throwable exception -> throw (Exception) exception;
    }
  }
}
