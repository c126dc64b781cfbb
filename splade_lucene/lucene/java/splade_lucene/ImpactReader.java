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
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.lucene.document.Document;
import org.apache.lucene.index.CheckIndex;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.MultiTerms;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.ReaderUtil;
import org.apache.lucene.index.Term;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.store.Directory;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.BytesRef;

/** A committed impact index, ours or Anserini's, open for searching. Safe for any number of threads. */
public final class ImpactReader {
  private final Directory directory;
  private final DirectoryReader reader;
  private final ExecutorService workers = Executors.newCachedThreadPool(ImpactWriter::daemon);
  private final Queue<WindowScorer> idleScorers = new ConcurrentLinkedQueue<>();
  private DocIds docIds;

  public ImpactReader(String path) throws IOException {
    directory = FSDirectory.open(Path.of(path));
    try {
      reader = DirectoryReader.open(directory);
    } catch (IOException | RuntimeException e) {
      directory.close();
      throw e;
    }
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

  public void close() throws IOException {
    workers.shutdown();
    reader.close();
    directory.close();
  }

  /** Reads the table of doc_ids on first use. */
  private synchronized DocIds docIds() throws IOException {
    if (docIds == null) {
      docIds = new DocIds(reader);
    }
    return docIds;
  }

  /**
   * Searches one query, its documents parted among threads: for a single query that waits to be answered.
   *
   * <p>Query i has the terms and impacts from indptr[i] to indptr[i + 1]; a term stands in a query once.
   *
   * @return {@code int32[queries + 1] indptr, int64[hits] scores, doc_ids as UTF-8, each ended by the byte 0xFF}
   */
  public byte[] search(byte[] terms, byte[] impacts, byte[] indptr, int k, int threads) throws Exception {
    int parts = Math.max(1, Math.min(threads, reader.maxDoc() / WindowScorer.WINDOW));
    return answer(new Queries(terms, impacts, indptr), k, parts, parts, null);
  }

  /** The same for many queries, which are spread over the threads; the answer does not depend on their number. */
  public Job searchAll(byte[] terms, byte[] impacts, byte[] indptr, int k, int threads) {
    return Job.start(job -> answer(new Queries(terms, impacts, indptr), k, 1, threads, job));
  }

  private static final class Queries {
    final BytesRef[] terms;
    final int[] impacts;
    final int[] indptr;

    Queries(byte[] terms, byte[] impacts, byte[] indptr) {
      this.terms = Packed.strings(terms);
      this.impacts = Packed.ints(impacts);
      this.indptr = Packed.ints(indptr);
    }

    int size() {
      return indptr.length - 1;
    }
  }

  private byte[] answer(Queries queries, int k, int parts, int threads, Job job) throws Exception {
    int[] ranks = docIds().ranks();
    TopHits[] found = new TopHits[queries.size() * parts];
    AtomicInteger next = new AtomicInteger();
    List<Future<?>> others = new ArrayList<>();
    for (int i = 1; i < Math.min(threads, found.length); i++) {
      others.add(
          workers.submit(
              () -> {
                searchNext(queries, k, parts, ranks, found, next, job);
                return null;
              }));
    }
    searchNext(queries, k, parts, ranks, found, next, job);
    for (Future<?> other : others) {
      other.get();
    }
    return pack(merged(found, parts));
  }

  /** Takes a query, or a part of one, from the common counter until there are none left. */
  private void searchNext(
      Queries queries, int k, int parts, int[] ranks, TopHits[] found, AtomicInteger next, Job job)
      throws IOException {
    WindowScorer idle = idleScorers.poll();
    WindowScorer scorer = idle != null ? idle : new WindowScorer();
    for (int i = next.getAndIncrement(); i < found.length; i = next.getAndIncrement()) {
      if (job != null && job.isCancelled()) {
        return;
      }
      int query = i / parts;
      TopHits top = new TopHits(Math.min(k, reader.maxDoc()), ranks);
      if (top.capacity() > 0) {
        WindowScorer.Range range =
            new WindowScorer.Range(queries.indptr[query], queries.indptr[query + 1], i % parts, parts);
        scorer.search(reader, queries.terms, queries.impacts, range, top);
      }
      if (parts == 1) {
        top.sort();
      }
      found[i] = top;
    }
    idleScorers.add(scorer);
  }

  /** The hits of each query, those of its parts put together. */
  private static TopHits[] merged(TopHits[] found, int parts) {
    if (parts == 1) {
      return found;
    }
    TopHits[] merged = new TopHits[found.length / parts];
    for (int query = 0; query < merged.length; query++) {
      merged[query] = found[query * parts];
      for (int part = 1; part < parts; part++) {
        merged[query].collect(found[query * parts + part]);
      }
      merged[query].sort();
    }
    return merged;
  }

  private byte[] pack(TopHits[] found) throws IOException {
    int[] indptr = new int[found.length + 1];
    for (int i = 0; i < found.length; i++) {
      indptr[i + 1] = Math.addExact(indptr[i], found[i] == null ? 0 : found[i].size()); // null: the job was cancelled
    }
    int hits = indptr[found.length];
    int[] documents = new int[hits];
    long[] scores = new long[hits];
    for (int i = 0; i < found.length; i++) {
      if (found[i] != null) {
        found[i].copyTo(documents, scores, indptr[i]);
      }
    }
    return pack(indptr, scores, documents);
  }

  private byte[] pack(int[] indptr, long[] scores, int[] documents) throws IOException {
    DocIds ids = docIds();
    BytesRef id = new BytesRef();
    int length = Integer.BYTES * indptr.length + Long.BYTES * scores.length;
    for (int document : documents) {
      ids.get(document, id);
      length = Math.addExact(length, id.length + 1);
    }
    ByteBuffer packed = Packed.littleEndian(new byte[length]);
    for (int start : indptr) {
      packed.putInt(start);
    }
    for (long score : scores) {
      packed.putLong(score);
    }
    for (int document : documents) {
      ids.get(document, id);
      packed.put(id.bytes, id.offset, id.length).put((byte) 0xFF); // a byte that UTF-8 never uses
    }
    return packed.array();
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

  /** What is stored as {@code raw} of a document; null if there is no such document or no text was stored. */
  public String text(byte[] docId) throws IOException {
    int document = find(new BytesRef(docId));
    Document stored = document < 0 ? null : reader.storedFields().document(document);
    return stored == null ? null : stored.get(Constants.RAW);
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
    return pack(new int[] {0, n}, Arrays.copyOf(impacts, n), Arrays.copyOf(documents, n));
  }

  /** Runs Lucene's CheckIndex; the answer is its complaints, empty where there are none. */
  public static Job check(String path) {
    return Job.start(
        job -> {
          ByteArrayOutputStream log = new ByteArrayOutputStream();
          try (Directory directory = FSDirectory.open(Path.of(path));
              CheckIndex check = new CheckIndex(directory)) {
            check.setInfoStream(new PrintStream(log, true, StandardCharsets.UTF_8));
            return check.checkIndex().clean ? new byte[0] : log.toByteArray();
          }
        });
  }
}
