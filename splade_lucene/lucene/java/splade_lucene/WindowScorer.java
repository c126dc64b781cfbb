package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import java.util.Arrays;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocAndFloatFeatureBuffer;

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

  /** Searches one of several equal parts of a segment's documents. */
  void search(LeafReaderContext leaf, Search search, int part, int parts) throws IOException {
    int documents = leaf.reader().maxDoc();
    int start = (int) ((long) documents * part / parts);
    int end = (int) ((long) documents * (part + 1) / parts);
    int lists = open(leaf.reader(), search, start);
    for (int window = start; lists > 0 && window < end && !search.exhausted(); window += WINDOW) {
      int n = Math.min(WINDOW, end - window);
      int read = 0;
      for (int i = 0; i < lists; i++) {
        read += accumulate(postings[i], weights[i], window, window + n);
      }
      if (read > 0) {
        search.postingsRead += read;
        search.top.collect(scores, n, leaf.docBase + window, search.accepted, window);
        Arrays.fill(scores, 0, n, 0);
      }
    }
  }

  /** Opens the posting lists that this segment has, each on its first document from the start on; says how many. */
  private int open(LeafReader segment, Search search, int start) throws IOException {
    if (postings.length < search.to - search.from) {
      postings = Arrays.copyOf(postings, search.to - search.from);
      weights = new int[search.to - search.from];
    }
    Terms dictionary = segment.terms(Constants.CONTENTS);
    if (dictionary == null) {
      return 0; // every document of this segment is empty
    }
    TermsEnum each = dictionary.iterator();
    int lists = 0;
    for (int i = search.from; i < search.to; i++) {
      if (each.seekExact(search.terms[i])) {
        postings[lists] = each.postings(postings[lists], PostingsEnum.FREQS);
        postings[lists].advance(start);
        weights[lists++] = search.impacts[i];
      }
    }
    return lists;
  }

  private int accumulate(PostingsEnum postings, long weight, int window, int end) throws IOException {
    int read = 0;
    // Deleted documents come too: nextPostings does not skip them, TopHits does.
    for (postings.nextPostings(end, buffer); buffer.size > 0; postings.nextPostings(end, buffer)) {
      int[] docs = buffer.docs;
      float[] features = buffer.features;
      for (int i = 0; i < buffer.size; i++) {
        scores[docs[i] - window] += weight * (int) features[i];
      }
      read += buffer.size;
    }
    return read;
  }
}
