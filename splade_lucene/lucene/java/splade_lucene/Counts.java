package splade_lucene;

import io.anserini.index.Constants;
import java.io.IOException;
import org.apache.lucene.index.IndexReader;
import org.apache.lucene.index.LeafReader;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.index.NumericDocValues;
import org.apache.lucene.index.PostingsEnum;
import org.apache.lucene.index.Terms;
import org.apache.lucene.index.TermsEnum;
import org.apache.lucene.search.DocIdSetIterator;
import org.apache.lucene.util.Bits;
import org.apache.lucene.util.FixedBitSet;

/** Counts what can be found in an index: documents, those of them without a posting, postings. */
final class Counts {
  private Counts() {}

  /** The three of them, of live documents. */
  static long[] of(IndexReader reader) throws IOException {
    long[] counts = new long[3];
    for (LeafReaderContext leaf : reader.leaves()) {
      count(leaf.reader(), counts);
    }
    return counts;
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
    NumericDocValues terms = segment.getNumericDocValues(Batch.TERMS);
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
}
