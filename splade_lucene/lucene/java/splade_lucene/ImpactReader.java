package splade_lucene;

import io.anserini.index.Constants;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.lucene.index.CheckIndex;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexableField;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.ReaderUtil;
import org.apache.lucene.index.Term;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.store.ByteBuffersDataOutput;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;
import org.apache.lucene.util.IOUtils;

/**
 * A committed impact index, ours or Anserini's, open for searching. Safe for any number of threads.
 *
 * <p>Heap: 4 bytes a document, which order ties, and what {@link Blocks} says; all else lies in the page cache.
 */
public final class ImpactReader {
  private final Directory directory;
  private final AtomicInteger views; // that share the directory: the last to be closed closes it
  private final DirectoryReader reader;
  private final ExecutorService workers = Executors.newCachedThreadPool(ImpactWriter::daemon);
  private final Blocks[] blocks; // of each segment, or null
  private final boolean hasBlocks;
  private int[] ranks; // within the largest segment, or null; not needed any more once there is a searcher
  private Searcher searcher;

  public ImpactReader(String path) throws IOException {
    this(FSDirectory.open(Path.of(path)), new AtomicInteger(), null);
  }

  private ImpactReader(Directory directory, AtomicInteger views, DirectoryReader newer) throws IOException {
    this.directory = directory;
    this.views = views;
    views.incrementAndGet();
    DirectoryReader opened = newer;
    try {
      opened = opened != null ? opened : DirectoryReader.open(directory);
      blocks = new Blocks[opened.leaves().size()];
      for (LeafReaderContext leaf : opened.leaves()) {
        blocks[leaf.ord] = BlockFiles.open(directory, leaf.reader());
      }
      ranks = BlockFiles.ranksWithinLargest(directory, opened);
    } catch (IOException | RuntimeException e) {
      IOUtils.closeWhileHandlingException(opened, this::leaveDirectory);
      throw e;
    }
    reader = opened;
    hasBlocks = ranks != null && Arrays.stream(blocks).allMatch(Objects::nonNull);
  }

  /** A reader on the last commit, or null if this one is; it shares what did not change, and each is closed apart. */
  public ImpactReader refreshed() throws IOException {
    DirectoryReader newer = DirectoryReader.openIfChanged(reader);
    return newer == null ? null : new ImpactReader(directory, views, newer);
  }

  /** Whether all files are there that a search reads beside Lucene's. */
  public boolean hasBlocks() {
    return hasBlocks;
  }

  /** Whether a folder holds a finished index. */
  public static boolean exists(String path) throws IOException {
    try (Directory directory = FSDirectory.open(Path.of(path))) {
      return DirectoryReader.indexExists(directory);
    }
  }

  /** The manifest that was committed with the postings, or null where there is none (an index of Anserini's). */
  public String manifest() throws IOException {
    return reader.getIndexCommit().getUserData().get(ImpactWriter.MANIFEST);
  }

  public int documents() {
    return reader.numDocs();
  }

  public int segments() {
    return reader.leaves().size();
  }

  public synchronized void close() throws IOException {
    if (!workers.isShutdown()) {
      workers.shutdown();
      IOUtils.close(blocks);
      IOUtils.close(reader, this::leaveDirectory);
    }
  }

  private void leaveDirectory() throws IOException {
    if (views.decrementAndGet() == 0) {
      directory.close();
    }
  }

  private synchronized Searcher searcher() throws IOException {
    if (searcher == null) {
      searcher = new Searcher(reader, blocks, IdRanks.among(reader, ranks), workers);
      ranks = null;
    }
    return searcher;
  }

  /**
   * Searches one query, its documents parted among threads: for a single query that waits to be answered.
   *
   * <p>Query i has the terms and impacts from indptr[i] to indptr[i + 1]; a term stands in a query once.
   *
   * @param filter which documents may be found; null: all
   * @return {@code int32[queries + 1] indptr, int64[queries] postings read (the complement where the search was cut),
   *     int64[hits] scores, doc_ids as UTF-8, each ended by the byte 0xFF}
   */
  public byte[] search(
      byte[] terms, byte[] impacts, byte[] indptr, int k, int threads, SearchOptions options, DocFilter filter)
      throws IOException {
    int parts = Math.max(1, Math.min(threads, reader.maxDoc() / WindowScorer.WINDOW));
    return pack(searcher().search(queries(terms, impacts, indptr), k, options, filter, parts, parts, null));
  }

  /** The same for many queries, which are spread over the threads; the answer does not depend on their number. */
  public Job searchAll(
      byte[] terms, byte[] impacts, byte[] indptr, int k, int threads, SearchOptions options, DocFilter filter) {
    return Job.start(
        job -> pack(searcher().search(queries(terms, impacts, indptr), k, options, filter, 1, threads, job)));
  }

  private static Searcher.Queries queries(byte[] terms, byte[] impacts, byte[] indptr) {
    return new Searcher.Queries(Packed.strings(terms), Packed.ints(impacts), Packed.ints(indptr));
  }

  private byte[] pack(Searcher.Answer[] answers) throws IOException {
    int[] indptr = new int[answers.length + 1];
    long[] read = new long[answers.length];
    for (int i = 0; i < answers.length; i++) { // null: the job was cancelled
      indptr[i + 1] = Math.addExact(indptr[i], answers[i] == null ? 0 : answers[i].top().size());
      read[i] = answers[i] == null ? 0 : answers[i].cut() ? ~answers[i].postingsRead() : answers[i].postingsRead();
    }
    int hits = indptr[answers.length];
    int[] documents = new int[hits];
    long[] scores = new long[hits];
    for (int i = 0; i < answers.length; i++) {
      if (answers[i] != null) {
        answers[i].top().copyTo(documents, scores, indptr[i]);
      }
    }
    return pack(indptr, read, scores, documents);
  }

  private byte[] pack(int[] indptr, long[] read, long[] scores, int[] documents) throws IOException {
    ByteBuffersDataOutput ids = DocIds.pack(reader, documents);
    long length = (long) Integer.BYTES * indptr.length + (long) Long.BYTES * (read.length + scores.length) + ids.size();
    ByteBuffer packed = Packed.littleEndian(new byte[Math.toIntExact(length)]);
    for (int start : indptr) {
      packed.putInt(start);
    }
    for (long each : read) {
      packed.putLong(each);
    }
    for (long score : scores) {
      packed.putLong(score);
    }
    ids.toBufferList().forEach(packed::put);
    return packed.array();
  }

  /** The documents with these doc_ids, to search within. */
  public DocFilter filterIds(byte[] packedIds) throws IOException {
    return DocFilter.ofIds(reader, packedIds);
  }

  /** The same of documents that stand here as passages. */
  public DocFilter filterPassages(byte[] packedIds) throws IOException {
    return DocFilter.ofPassages(reader, packedIds);
  }

  /** The documents of which a stored field has this value, to search within. */
  public DocFilter filterField(byte[] field, byte[] value) throws IOException {
    return DocFilter.ofField(reader, field, value);
  }

  /** The k best documents of each text by BM25, packed as {@link TextSearcher#search} says. */
  public Job searchTexts(byte[] texts, int k, DocFilter filter, int threads) {
    return Job.start(job -> new TextSearcher(reader).search(texts, k, filter, threads, workers, job));
  }

  /** The number of a live document, or -1. */
  private int find(BytesRef docId) throws IOException {
    for (LeafReaderContext leaf : reader.leaves()) {
      PostingsEnum found = leaf.reader().postings(new Term(Constants.ID, docId), PostingsEnum.NONE);
      Bits live = leaf.reader().getLiveDocs();
      while (found != null && found.nextDoc() != DocIdSetIterator.NO_MORE_DOCS) {
        if (live == null || live.get(found.docID())) {
          return leaf.docBase + found.docID();
        }
      }
    }
    return -1;
  }

  /** The impacts that a document has for the given terms, 0 where it lacks one; null if there is no such document. */
  public byte[] impacts(byte[] docId, byte[] packedTerms) throws IOException {
    int document = find(new BytesRef(docId));
    if (document < 0) {
      return null;
    }
    LeafReaderContext leaf = reader.leaves().get(ReaderUtil.subIndex(document, reader.leaves()));
    BytesRef[] terms = Packed.strings(packedTerms);
    int[] impacts = new int[terms.length];
    for (int i = 0; i < terms.length; i++) {
      PostingsEnum postings = leaf.reader().postings(new Term(Constants.CONTENTS, terms[i]), PostingsEnum.FREQS);
      if (postings != null && postings.advance(document - leaf.docBase) == document - leaf.docBase) {
        impacts[i] = postings.freq();
      }
    }
    return Packed.pack(impacts);
  }

  /** The vectors of documents, packed as {@link DocVectors#pack} says. */
  public byte[] vectors(byte[] packedIds) throws IOException {
    DocVectors vectors = new DocVectors();
    for (BytesRef docId : Packed.strings(packedIds)) {
      int document = find(docId);
      if (document < 0) {
        vectors.addMissing();
      } else {
        LeafReaderContext leaf = reader.leaves().get(ReaderUtil.subIndex(document, reader.leaves()));
        vectors.add(leaf, blocks[leaf.ord], document - leaf.docBase);
      }
    }
    return vectors.pack();
  }

  /** What is stored of a document beside its doc_id, packed: name, value, name, value; null if there is none such. */
  public byte[] stored(byte[] docId) throws IOException {
    int document = find(new BytesRef(docId));
    if (document < 0) {
      return null;
    }
    List<BytesRef> found = new ArrayList<>();
    for (IndexableField field : reader.storedFields().document(document)) {
      if (!field.name().equals(Constants.ID) && field.stringValue() != null) {
        found.add(new BytesRef(field.name()));
        found.add(new BytesRef(field.stringValue()));
      }
    }
    return Packed.pack(found);
  }

  /** All terms that have postings, in byte order. */
  public byte[] terms() throws IOException {
    List<BytesRef> found = new ArrayList<>();
    Terms terms = MultiTerms.getTerms(reader, Constants.CONTENTS);
    if (terms != null) {
      TermsEnum each = terms.iterator();
      for (BytesRef term = each.next(); term != null; term = each.next()) {
        found.add(BytesRef.deepCopyOf(term));
      }
    }
    return Packed.pack(found);
  }

  /** The posting list of a term over all live documents, packed as {@link #search} packs the hits of one query. */
  public byte[] postings(byte[] term) throws IOException {
    int[] documents = new int[16];
    long[] impacts = new long[16];
    int n = 0;
    for (LeafReaderContext leaf : reader.leaves()) {
      PostingsEnum postings = leaf.reader().postings(new Term(Constants.CONTENTS, new BytesRef(term)), PostingsEnum.FREQS);
      Bits live = leaf.reader().getLiveDocs();
      while (postings != null && postings.nextDoc() != DocIdSetIterator.NO_MORE_DOCS) {
        if (live == null || live.get(postings.docID())) {
          if (n == documents.length) {
            documents = Arrays.copyOf(documents, 2 * n);
            impacts = Arrays.copyOf(impacts, 2 * n);
          }
          documents[n] = leaf.docBase + postings.docID();
          impacts[n++] = postings.freq();
        }
      }
    }
    return pack(new int[] {0, n}, new long[] {n}, Arrays.copyOf(impacts, n), Arrays.copyOf(documents, n));
  }

  /** Runs Lucene's CheckIndex, and checks the files beside Lucene's; the answer is its complaints, if there are any. */
  public static Job check(String path) {
    return Job.start(
        job -> {
          ByteArrayOutputStream log = new ByteArrayOutputStream();
          try (Directory directory = FSDirectory.open(Path.of(path));
              CheckIndex check = new CheckIndex(directory)) {
            check.setInfoStream(new PrintStream(log, true, StandardCharsets.UTF_8));
            if (!check.checkIndex().clean) {
              return log.toByteArray();
            }
            BlockFiles.check(directory);
            return new byte[0];
          }
        });
  }
}
