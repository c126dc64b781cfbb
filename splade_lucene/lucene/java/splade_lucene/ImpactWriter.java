package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.store.AlreadyClosedException;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.util.BytesRef;

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
  private Changes changes; // since the last view, or null

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
    writer = WriterOpening.open(directory, overwrite, mode);
    workers = Executors.newFixedThreadPool(threads, ImpactWriter::daemon);
    room = new Semaphore(threads * BATCHES_AHEAD);
    this.threads = threads;
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
    String[] batchColumns = columns;
    room.acquire();
    if (failure.get() != null) {
      room.release();
      throwFailure();
    }
    workers.execute(
        () -> {
          try {
            Batch batch =
                new Batch(
                    batchVocabulary,
                    Packed.strings(ids),
                    Packed.ints(indptr),
                    Packed.ints(terms),
                    Packed.ints(impacts),
                    batchColumns,
                    values == null ? null : Packed.strings(values));
            batch.write(writer, () -> cancelled || failure.get() != null);
          } catch (Throwable e) { // an OutOfMemoryError too must reach the caller
            failure.compareAndSet(null, e);
          } finally {
            room.release();
          }
        });
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
          changes = new Changes(writer);
          return null;
        });
  }

  private void closeView() throws IOException {
    if (changes != null) {
      changes.close();
      changes = null;
    }
  }

  /** Notes doc_ids that are handed over; the packed list of the first one that was there since {@link #view}, if any. */
  public byte[] repeated(byte[] ids) {
    return changes.repeated(ids);
  }

  /**
   * Those of these doc_ids that the index had at {@link #view}, packed.
   *
   * @param passages the ids are of documents that stand there as passages; the answer has the ids of all of these
   */
  public byte[] present(byte[] ids, boolean passages) throws IOException {
    return changes.present(ids, passages);
  }

  /**
   * Removes documents that the index had at {@link #view}; what was handed over since under these ids stays.
   *
   * @return how many of them were not removed before
   */
  public int remove(byte[] ids) throws IOException {
    return changes.remove(ids);
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
          try (DirectoryReader reader = DirectoryReader.open(writer)) {
            return Packed.pack(Counts.of(reader));
          }
        });
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
        WriterOpening.removeLeavings(directory);
      }
    } finally {
      directory.close();
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
