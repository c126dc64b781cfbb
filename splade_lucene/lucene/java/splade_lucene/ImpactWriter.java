package splade_lucene;

import io.anserini.index.Constants;
import io.anserini.search.similarity.ImpactSimilarity;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.lucene.document.BinaryDocValuesField;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.FieldType;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.index.CorruptIndexException;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexFileNames;
import org.apache.lucene.index.IndexFormatTooOldException;
import org.apache.lucene.index.IndexOptions;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.store.AlreadyClosedException;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.store.Lock;
import org.apache.lucene.util.BytesRef;

/**
 * Writes impact vectors as Lucene postings, in Anserini's schema: {@code id} stored, indexed and as doc values,
 * {@code contents} with documents and frequencies, {@code raw} stored where texts are given.
 *
 * <p>Laws: nothing is visible before {@link #commit}, and everything with it, the manifest included; {@link #rollback}
 * or a killed process leave the folder's last commit as it was. The postings do not depend on the number of threads.
 */
public final class ImpactWriter {
  /** Where the manifest stands in the commit's user data. */
  static final String MANIFEST = "splade_lucene";

  private static final int BATCHES_AHEAD = 2; // for each thread: enough to keep it busy, little to hold in memory

  private final Directory directory;
  private final IndexWriter writer;
  private final ExecutorService workers;
  private final Semaphore room;
  private final AtomicReference<Throwable> failure = new AtomicReference<>();
  private volatile boolean cancelled;
  private BytesRef[] vocabulary = new BytesRef[0];

  /**
   * Starts an index that will replace whatever the folder holds now, once it is committed.
   *
   * @param overwrite whether an index that cannot be read any more may be replaced; it is given up at once
   */
  public ImpactWriter(String path, int threads, boolean overwrite) throws IOException {
    directory = FSDirectory.open(Path.of(path));
    writer = open(directory, overwrite);
    workers = Executors.newFixedThreadPool(threads, ImpactWriter::daemon);
    room = new Semaphore(threads * BATCHES_AHEAD);
  }

  private static IndexWriterConfig config() {
    IndexWriterConfig config = new IndexWriterConfig(null);
    config.setOpenMode(IndexWriterConfig.OpenMode.CREATE);
    config.setSimilarity(new ImpactSimilarity());
    config.setRAMBufferSizeMB(Math.min(1024, Runtime.getRuntime().maxMemory() / (1 << 20) / 4));
    config.setUseCompoundFile(false);
    config.setCommitOnClose(false);
    return config;
  }

  private static IndexWriter open(Directory directory, boolean overwrite) throws IOException {
    try {
      if (overwrite) {
        giveUpUnreadable(directory);
      }
      return new IndexWriter(directory, config());
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

  /** The terms that the term ids of all batches after this call stand for. */
  public void vocabulary(byte[] terms) {
    vocabulary = Packed.strings(terms);
  }

  /**
   * Hands over a batch, CSR: document i has the terms and impacts from indptr[i] to indptr[i + 1]. Returns at once
   * unless the workers are far behind; what goes wrong in a worker is thrown by a later call.
   *
   * @param texts what is stored as {@code raw}, one for each document, or null
   */
  public void add(byte[] ids, byte[] indptr, byte[] terms, byte[] impacts, byte[] texts) throws Exception {
    BytesRef[] batchVocabulary = vocabulary;
    room.acquire();
    throwFailure();
    workers.execute(
        () -> {
          try {
            addAll(
                batchVocabulary,
                Packed.strings(ids),
                Packed.ints(indptr),
                Packed.ints(terms),
                Packed.ints(impacts),
                texts == null ? null : Packed.strings(texts));
          } catch (Throwable e) { // an OutOfMemoryError too must reach the caller
            failure.compareAndSet(null, e);
          } finally {
            room.release();
          }
        });
  }

  private void addAll(
      BytesRef[] vocabulary, BytesRef[] ids, int[] indptr, int[] terms, int[] impacts, BytesRef[] texts)
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
      if (texts != null) {
        document.add(new StoredField(Constants.RAW, texts[i].utf8ToString()));
      }
      stream.of(vocabulary, terms, impacts, indptr[i], indptr[i + 1]);
      document.add(contents);
      writer.addDocument(document);
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
   * @return a job whose answer is the packed list of repeated doc_ids: empty, or the first one in byte order
   */
  public Job finish(boolean merge) {
    return Job.start(
        job -> {
          workers.shutdown();
          workers.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS);
          throwFailure();
          BytesRef repeated = repeatedId();
          if (repeated == null && merge) {
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

  public int documents() {
    return writer.getDocStats().numDocs;
  }

  /** Makes everything visible at once, with its manifest, and closes. */
  public void commit(String manifest) throws IOException {
    writer.setLiveCommitData(Map.of(MANIFEST, manifest).entrySet());
    writer.commit();
    writer.close();
    directory.close();
  }

  /** Forgets everything since the last commit, stops all work and closes. */
  public void rollback() throws IOException {
    cancelled = true;
    workers.shutdown();
    try {
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
      new IndexWriter(directory, config()).rollback();
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
