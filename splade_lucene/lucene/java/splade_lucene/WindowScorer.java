package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocAndFloatFeatureBuffer;
import org.apache.lucene.util.BytesRef;

/**
 * Scores every posting of a query's terms, exactly: score = sum of query impact times document impact, in longs.
 *
 * <p>Term at a time within windows of documents small enough for the cache, over Lucene's bulk postings. One scorer
 * serves one thread.
 */
final class WindowScorer {
  static final int WINDOW = 1 << 15; // 256 KB of scores

  private final long[] scores = new long[WINDOW];
  private PostingsEnum[] postings = new PostingsEnum[0]; // kept from query to query: 5 KB of buffers each
  private int[] weights = new int[0];
  private final DocAndFloatFeatureBuffer buffer = new DocAndFloatFeatureBuffer();

  /** Which of a query's terms and impacts are meant, and which of several equal parts of each segment's documents. */
  record Range(int from, int to, int part, int parts) {
    int start(int documents) {
      return (int) ((long) documents * part / parts);
    }

    int end(int documents) {
      return (int) ((long) documents * (part + 1) / parts);
    }
  }

  void search(IndexReader reader, BytesRef[] terms, int[] impacts, Range range, TopHits top) throws IOException {
    for (LeafReaderContext leaf : reader.leaves()) {
      search(leaf, terms, impacts, range, top);
    }
  }

  private void search(LeafReaderContext leaf, BytesRef[] terms, int[] impacts, Range range, TopHits top)
      throws IOException {
    int lists = open(leaf.reader(), terms, impacts, range);
    int end = range.end(leaf.reader().maxDoc());
    for (int window = range.start(leaf.reader().maxDoc()); lists > 0 && window < end; window += WINDOW) {
      int n = Math.min(WINDOW, end - window);
      boolean any = false;
      for (int i = 0; i < lists; i++) {
        any |= accumulate(postings[i], weights[i], window, window + n);
      }
      if (any) {
        top.collect(scores, n, leaf.docBase + window, leaf.reader().getLiveDocs(), window);
        Arrays.fill(scores, 0, n, 0);
      }
    }
  }

  /** Opens the posting lists that this segment has, each on its first document of the range; says how many. */
  private int open(LeafReader segment, BytesRef[] terms, int[] impacts, Range range) throws IOException {
    if (postings.length < range.to - range.from) {
      postings = Arrays.copyOf(postings, range.to - range.from);
      weights = new int[range.to - range.from];
    }
    Terms dictionary = segment.terms(Constants.CONTENTS);
    if (dictionary == null) {
      return 0; // every document of this segment is empty
    }
    TermsEnum each = dictionary.iterator();
    int lists = 0;
    int start = range.start(segment.maxDoc());
    for (int i = range.from; i < range.to; i++) {
      if (each.seekExact(terms[i])) {
        postings[lists] = each.postings(postings[lists], PostingsEnum.FREQS);
        postings[lists].advance(start);
        weights[lists++] = impacts[i];
      }
    }
    return lists;
  }

  private boolean accumulate(PostingsEnum postings, long weight, int window, int end) throws IOException {
    boolean any = false;
    // Deleted documents come too: nextPostings does not skip them, TopHits does.
    for (postings.nextPostings(end, buffer); buffer.size > 0; postings.nextPostings(end, buffer)) {
      int[] docs = buffer.docs;
      float[] features = buffer.features;
      for (int i = 0; i < buffer.size; i++) {
        scores[docs[i] - window] += weight * (int) features[i];
      }
      any = true;
    }
    return any;
  }
}
