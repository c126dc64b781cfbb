package splade_lucene;

import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.tokenattributes.BytesTermAttribute;
import org.apache.lucene.analysis.tokenattributes.TermFrequencyAttribute;
import org.apache.lucene.util.AttributeFactory;
import org.apache.lucene.util.BytesRef;

/**
 * One row of a CSR matrix of impacts as Lucene wants a document: each term once, its impact as the term frequency.
 *
 * <p>The postings equal those of a text in which each term stands impact times (Anserini's JsonVectorCollection),
 * without that text ever being written or analyzed.
 */
final class ImpactTokenStream extends TokenStream {
  private final BytesTermAttribute term = addAttribute(BytesTermAttribute.class);
  private final TermFrequencyAttribute frequency = addAttribute(TermFrequencyAttribute.class);

  private BytesRef[] vocabulary;
  private int[] terms;
  private int[] impacts;
  private int next;
  private int end;

  ImpactTokenStream() {
    // One plain implementation for each attribute: the packed default would bring a second, empty term with it.
    super(AttributeFactory.DEFAULT_ATTRIBUTE_FACTORY);
  }

  ImpactTokenStream of(BytesRef[] vocabulary, int[] terms, int[] impacts, int start, int end) {
    this.vocabulary = vocabulary;
    this.terms = terms;
    this.impacts = impacts;
    this.next = start;
    this.end = end;
    return this;
  }

  @Override
  public void reset() {
    clearAttributes(); // end() of the document before left a position increment of 0
  }

  @Override
  public boolean incrementToken() {
    if (next == end) {
      return false;
    }
    term.setBytesRef(vocabulary[terms[next]]);
    frequency.setTermFrequency(impacts[next]);
    next++;
    return true;
  }
}
