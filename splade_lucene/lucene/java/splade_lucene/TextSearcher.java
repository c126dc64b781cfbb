package splade_lucene;

import io.anserini.analysis.DefaultEnglishAnalyzer;
import io.anserini.index.Constants;
import io.anserini.search.query.BagOfWordsQueryGenerator;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.ConstantScoreScorerSupplier;
import org.apache.lucene.search.ConstantScoreWeight;
import org.apache.lucene.search.FieldDoc;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.QueryVisitor;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.ScoreMode;
import org.apache.lucene.search.ScorerSupplier;
import org.apache.lucene.search.Sort;
import org.apache.lucene.search.SortField;
import org.apache.lucene.search.TopFieldCollectorManager;
import org.apache.lucene.search.Weight;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.search.similarities.Similarity;
import org.apache.lucene.util.BytesRef;

/**
 * Searches the texts beside the impacts by BM25, with Lucene's own searcher on the same reader: Anserini's analysis,
 * its k1 and b, its queries (a bag of stems) and its order, score descending and then doc_id ascending.
 */
final class TextSearcher {
  static final Similarity SIMILARITY = new BM25Similarity(0.9f, 0.4f);

  private static final Analyzer ANALYZER = DefaultEnglishAnalyzer.newDefaultInstance();
  private static final Sort ORDER =
      new Sort(SortField.FIELD_SCORE, new SortField(Constants.ID, SortField.Type.STRING_VAL));

  private final IndexSearcher searcher;

  TextSearcher(DirectoryReader reader) {
    IndexSearcher.setMaxClauseCount(Integer.MAX_VALUE); // a long text is a query like any other
    searcher = new IndexSearcher(reader);
    searcher.setSimilarity(SIMILARITY);
    searcher.setQueryCache(null); // a filter has its bits already
  }

  /**
   * The k best documents of each text.
   *
   * @param filter what may be found; null for everything
   * @return {@code int32[texts + 1] indptr, float32[hits] scores, doc_ids as UTF-8, each ended by the byte 0xFF}
   */
  byte[] search(byte[] texts, int k, DocFilter filter, int threads, ExecutorService workers, Job job)
      throws Exception {
    BytesRef[] queries = Packed.strings(texts);
    ScoreDoc[][] found = new ScoreDoc[queries.length][0];
    AtomicInteger next = new AtomicInteger();
    List<Future<?>> others = new ArrayList<>();
    for (int i = 1; i < Math.min(threads, queries.length); i++) {
      others.add(
          workers.submit(
              () -> {
                searchNext(queries, k, filter, found, next, job);
                return null;
              }));
    }
    searchNext(queries, k, filter, found, next, job);
    for (Future<?> other : others) {
      other.get();
    }
    return pack(found);
  }

  /** Takes a text from the common counter until there are none left. */
  private void searchNext(
      BytesRef[] queries, int k, DocFilter filter, ScoreDoc[][] found, AtomicInteger next, Job job)
      throws IOException {
    int most = Math.max(1, Math.min(k, searcher.getIndexReader().maxDoc()));
    for (int i = next.getAndIncrement(); i < queries.length && !job.isCancelled(); i = next.getAndIncrement()) {
      Query query =
          new BagOfWordsQueryGenerator().buildQuery(ImpactWriter.BM25, ANALYZER, queries[i].utf8ToString());
      if (filter != null) {
        query =
            new BooleanQuery.Builder()
                .add(query, BooleanClause.Occur.MUST)
                .add(new Within(filter), BooleanClause.Occur.FILTER)
                .build();
      }
      found[i] = searcher.search(query, new TopFieldCollectorManager(ORDER, most, most)).scoreDocs;
    }
  }

  private static byte[] pack(ScoreDoc[][] found) {
    int[] indptr = new int[found.length + 1];
    int length = Integer.BYTES * indptr.length;
    for (int i = 0; i < found.length; i++) {
      indptr[i + 1] = Math.addExact(indptr[i], found[i].length);
      for (ScoreDoc hit : found[i]) {
        length = Math.addExact(length, Float.BYTES + id(hit).length + 1);
      }
    }
    ByteBuffer packed = Packed.littleEndian(new byte[length]);
    for (int start : indptr) {
      packed.putInt(start);
    }
    for (ScoreDoc[] hits : found) {
      for (ScoreDoc hit : hits) {
        packed.putFloat((Float) ((FieldDoc) hit).fields[0]);
      }
    }
    for (ScoreDoc[] hits : found) {
      for (ScoreDoc hit : hits) {
        BytesRef id = id(hit);
        packed.put(id.bytes, id.offset, id.length).put((byte) 0xFF);
      }
    }
    return packed.array();
  }

  /** What a hit was ordered by after its score: its doc_id. */
  private static BytesRef id(ScoreDoc hit) {
    return (BytesRef) ((FieldDoc) hit).fields[1];
  }

  /** The documents of a filter, as a clause of a query. */
  private static final class Within extends Query {
    private final DocFilter filter;

    Within(DocFilter filter) {
      this.filter = filter;
    }

    @Override
    public Weight createWeight(IndexSearcher searcher, ScoreMode mode, float boost) {
      return new ConstantScoreWeight(this, boost) {
        @Override
        public ScorerSupplier scorerSupplier(LeafReaderContext leaf) {
          return ConstantScoreScorerSupplier.fromIterator(
              filter.iterator(leaf), score(), mode, leaf.reader().maxDoc());
        }

        @Override
        public boolean isCacheable(LeafReaderContext leaf) {
          return false;
        }
      };
    }

    @Override
    public void visit(QueryVisitor visitor) {
      visitor.visitLeaf(this);
    }

    @Override
    public String toString(String field) {
      return "within " + filter.size() + " documents";
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Within within && within.filter == filter;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(filter);
    }
  }
}
