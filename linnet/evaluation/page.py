"""The report's page: one HTML template with its styles, no external resources."""
# ruff: noqa: E501  HTML reads better with long lines than with broken ones

from __future__ import annotations

from linnet.pages.palette import ROOT

STYLE = (
    ROOT
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:1060px;margin:0 auto;padding:20px 16px 60px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:18px;margin:40px 0 6px;letter-spacing:-.005em}
p{margin:4px 0 12px;max-width:72ch}.soft{color:var(--soft)}.small{font-size:13px}
.verdict{border-radius:14px;padding:22px 24px;margin:6px 0 20px}
.verdict.pass{background:var(--goodsoft)}.verdict.fail{background:var(--badsoft)}
.verdict.pass h1{color:var(--good)}.verdict.fail h1{color:var(--bad)}
.verdict ul{margin:10px 0 0;padding-left:20px}.verdict p{margin:4px 0 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:10px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.tile b{display:block;font-size:23px;font-weight:650;line-height:1.25}
.tile span{display:block;color:var(--soft);font-size:13px}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}
table{border-collapse:collapse;width:100%}
th{font-weight:600;font-size:13px;color:var(--soft);text-align:left;white-space:nowrap}
th,td{padding:8px 12px;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;white-space:nowrap}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:14px;align-items:start}
.pair>*,.wide{min-width:0}
.chip{display:inline-block;border-radius:99px;padding:1px 10px;font-size:13px;font-weight:600;white-space:nowrap}
.chip.pass{background:var(--goodsoft);color:var(--good)}.chip.fail{background:var(--badsoft);color:var(--bad)}
.note{border-left:3px solid var(--accent);padding:2px 0 2px 12px;margin:10px 0;max-width:76ch}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(116px,1fr));gap:10px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:8px;overflow:hidden}
figure img{width:100%;aspect-ratio:1;object-fit:contain;image-rendering:pixelated;border-radius:6px;
background:#0001;display:block}
figcaption{font-size:12.5px;line-height:1.35;margin-top:6px;overflow-wrap:anywhere}
figcaption b{color:var(--bad)}figcaption code{color:var(--soft);font-size:11px}
.whisker{width:160px;height:20px;display:block}
.rail{stroke:var(--line);stroke-width:1}.mark{stroke:var(--ink);stroke-width:1.6;stroke-dasharray:3 2}
.span{stroke-width:4;stroke-linecap:round;opacity:.45}
.span.good{stroke:var(--good)}.span.bad{stroke:var(--bad)}.dot.good{fill:var(--good)}.dot.bad{fill:var(--bad)}
.confusion,.diagram{width:100%;height:auto;display:block}.confusion{max-width:620px}.diagram{max-width:400px}
svg text{fill:var(--ink);font:12px system-ui,-apple-system,sans-serif}
svg .name{font-size:13px}svg .count{font-size:12px}svg .count.strong{fill:var(--on)}
svg .tick{fill:var(--soft);font-size:11px}.own{fill:var(--accent)}.other{fill:var(--warm)}
.grid{stroke:var(--line)}.ideal{stroke:var(--soft);stroke-dasharray:5 4}.error{stroke:var(--accent);opacity:.5}
.before{fill:none;stroke:var(--warm);stroke-width:1.8}.after{fill:var(--accent)}
.key{display:inline-block;width:10px;height:10px;border-radius:50%;margin:0 5px 0 12px}
.key.before{border:2px solid var(--warm)}.key.after{background:var(--accent)}
details{margin:10px 0}summary{cursor:pointer;color:var(--accent)}
@media (max-width:640px){main{padding:10px 10px 40px}.verdict{padding:16px}h1{font-size:22px}
th,td{padding:7px 8px}.gates thead{display:none}.gates tr{display:grid;grid-template-columns:auto 1fr;
padding:8px 4px;border-bottom:1px solid var(--line)}.gates td{border:0;padding:3px 8px}
.gates td.n{text-align:left}.gates td.n,.gates td.why,.gates td.draw{grid-column:1/-1}}
"""
)

TEMPLATE = """<main>
{% macro tile(name, key) %}<div class="tile"><span>{{ name }}</span>
<b>{{ metrics[key].value|number(key) }}</b><span>{{ metrics[key]|bounds(key) }}</span></div>{% endmacro %}
<section class="verdict {{ decision.verdict }}">
<h1>{{ headline }}</h1>
<p>{{ "{:,}".format(report.samples) }} test samples, {{ report.classes|length }} classes.
{% if report.comparison %}Champion: version {{ report.comparison.champion }}.{% else %}There is no champion.{% endif %}</p>
{% if decision.reasons %}<ul>{% for reason in decision.reasons %}<li>{{ reason[0]|upper }}{{ reason[1:] }}.</li>{% endfor %}</ul>{% endif %}
</section>
{% if not_finite %}<p class="note"><b>{{ "{:,}".format(not_finite) }} of {{ "{:,}".format(report.samples) }} test images
got probabilities that are not numbers.</b> Such a model is broken, so no metric is given. Look for exploding weights
in training, or for features that are not finite.</p>{% endif %}
<div class="tiles">{% for one in tiles %}{{ tile(one.title, one.key) }}{% endfor %}</div>

<h2>Gates</h2>
<div class="wide"><table class="gates"><thead><tr><th>Verdict</th><th>Gate</th><th class="n">Judged</th>
<th>Interval and threshold</th><th>Evidence</th></tr></thead><tbody>
{% for gate, picture in gates %}<tr><td><span class="chip {{ 'pass' if gate.passed else 'fail' }}">
{{ '✓ pass' if gate.passed else '✗ fail' }}</span></td><td><b>{{ gate.name|title_of }}</b></td>
<td class="n">{{ gate.value|plain }} {{ gate.relation }} {{ gate.threshold|plain }}</td>
<td class="draw">{{ picture }}</td><td class="small why">{{ gate.evidence[0]|upper }}{{ gate.evidence[1:] }}.</td></tr>{% endfor %}
</tbody></table></div>
{% if not report.comparison %}<p class="note">No champion was given, so the comparison gate
(non-inferiority) <b>was not judged</b>: it is absent, not passed. Only the absolute gates decided.</p>{% endif %}
{% for remark in remarks %}<p class="note">{{ remark }}.</p>{% endfor %}

{% if report.comparison %}{% set c = report.comparison %}
<h2>Against the champion, on the same samples</h2>
<div class="pair"><div class="card"><p>Accuracy differs by <b>{{ (c.difference.value * 100)|signed }} points</b>
({{ (c.difference.low * 100)|signed }} to {{ (c.difference.high * 100)|signed }}). The dashed line is the margin:
{{ (-margin * 100)|signed }} points.</p>{{ difference_picture }}
<p class="soft small">Their answers agree by {{ c.agreement|percent }}. If both erred equally often, a split this uneven would come up with probability {{ "%.3g"|format(p_value) }} (exact McNemar test).</p></div>
<div class="wide"><table><tr><th>Which is right?</th><th class="n">Samples</th></tr>
<tr><td>only the candidate</td><td class="n">{{ "{:,}".format(c.candidate_only_right) }}</td></tr>
<tr><td>only the champion</td><td class="n">{{ "{:,}".format(c.champion_only_right) }}</td></tr>
<tr><td>both or neither</td><td class="n">{{ "{:,}".format(report.samples - c.candidate_only_right - c.champion_only_right) }}</td></tr>
</table></div></div>{% endif %}

<h2>Metrics</h2>
<div class="wide"><table><tr><th>Metric</th><th class="n">Value</th><th class="n">{{ level }} interval</th><th>Meaning</th></tr>
{% for one in explained %}<tr><td><b>{{ one.title }}</b></td><td class="n">{{ metrics[one.key].value|number(one.key) }}</td>
<td class="n">{{ metrics[one.key]|bounds(one.key) }}</td><td class="soft small">{{ one.meaning }}</td></tr>{% endfor %}</table></div>

<h2>Classes</h2>
<p class="soft">Recall with its interval; the dashed line is the overall accuracy. Worst first{{ class_cut }}.</p>
<div class="wide"><table><tr><th>Class</th><th class="n">Recall</th><th>{{ axis }}</th><th class="n">Precision</th>
<th class="n">F1</th><th class="n">False positives</th><th class="n">Samples</th></tr>
{% for row in class_rows %}<tr><td>{{ row.name }}</td><td class="n">{{ row.recall|percent }}</td><td>{{ row.picture }}</td>
<td class="n">{{ row.precision|percent }}</td><td class="n">{{ row.f1|percent }}</td>
<td class="n">{{ row.false_positive_rate|percent }}</td><td class="n">{{ "{:,.0f}".format(row.support) }}</td></tr>{% endfor %}
</table></div>

{% if confusion %}<h2>Confusion matrix</h2>
<div class="pair"><div class="wide card">{{ confusion }}</div>
<div class="wide"><table><tr><th>True</th><th>Predicted</th><th class="n">Samples</th><th class="n">Of the class</th></tr>
{% for actual, named, count, share in confusions %}<tr><td>{{ actual }}</td><td>{{ named }}</td><td class="n">{{ "{:,}".format(count) }}</td>
<td class="n">{{ share|percent }}</td></tr>{% else %}<tr><td colspan="4">no mistakes</td></tr>{% endfor %}</table></div></div>
<p class="soft small">Rows are true classes, columns predicted ones; shade is the share of the row{{ confusion_cut }}.</p>{% endif %}

{% if report.mistakes %}<h2>Kinds of mistake</h2>
<div class="wide"><table><tr><th>Kind</th><th class="n">An image</th><th class="n">{{ level }} interval</th></tr>
{% for kind, rate in report.mistakes.items() %}<tr><td>{{ kind|capitalize }}</td><td class="n">{{ rate.value|plain }}</td>
<td class="n">{{ "%.4f – %.4f"|format(rate.low, rate.high) }}</td></tr>{% endfor %}</table></div>{% endif %}

{% if diagram %}<h2>Calibration</h2>
<div class="pair"><div class="card">{{ diagram }}<p class="small"><span class="key before"></span>before
<span class="key after"></span>after temperature scaling</p></div>
<div><p>On the diagonal, a confidence of 90 % is right 90 % of the time; points below it are overconfident.</p>
<p>Temperature <b>{{ report.temperature|plain }}</b>, fitted on {{ "{:,}".format(validation_samples) }} validation samples.
Calibration error <b>{{ report.ece_before|plain }}</b> before and <b>{{ metrics.ece.value|plain }}</b> after,
over {{ bins }} bins of equal mass.</p>{% if validation_samples < 100 %}<p class="note">That is few: the
temperature, and with it every confidence, is uncertain.</p>{% endif %}</div></div>{% endif %}

{% if cohort_rows %}<h2>Cohorts</h2><p class="soft">{{ cohort_note }}</p>
<div class="wide"><table><tr><th>Cohort</th><th class="n">Accuracy</th><th>{{ axis }}</th><th class="n">Interval</th>
<th class="n">Samples</th><th></th></tr>{% for row in cohort_rows %}<tr><td>{{ row.cohort }} = <b>{{ row.value }}</b></td>
<td class="n">{{ row.accuracy.value|percent }}</td><td>{{ row.picture }}</td><td class="n">{{ row.accuracy|bounds("accuracy") }}</td>
<td class="n">{{ "{:,}".format(row.samples) }}</td><td>{% if row.low %}<span class="chip fail">below average</span>{% endif %}
{% if row.small %}<span class="soft small">too few to judge</span>{% endif %}</td></tr>{% endfor %}</table></div>{% endif %}

{% macro shot(s) %}<figure><img alt="{{ s.alt }}" src="{{ s.image }}"><figcaption>{{ s.text }}<br>
<code title="{{ s.id }}">{{ s.id[:12] }}</code></figcaption></figure>{% endmacro %}
{% if mistakes %}<h2>{{ "The surest mistake of each common confusion" if confusion else "Images of each kind of mistake"
if report.mistakes else "The worst answers" }}</h2>
<div class="shots">{% for s in mistakes %}{{ shot(s) }}{% endfor %}</div>{% endif %}
{% if suspects %}<h2>Labels to look at again</h2>
<p class="soft">The model contradicts these labels as firmly as it is usually right about the class it names instead.
{{ report.suspects_counted }} samples are suspects;
the likeliest {{ suspects|length }} are shown. Some labels here are wrong, others are hard samples.</p>
<div class="shots">{% for s in suspects %}{{ shot(s) }}{% endfor %}</div>{% endif %}

<details><summary>How the numbers were made</summary><ul class="small">
{% for line in methods %}<li>{{ line }}</li>{% endfor %}</ul></details>
</main>
"""

METHODS = (
    "Accuracy and cohorts: Wilson score intervals (1927). Worst recall: Clopper-Pearson intervals (1934), "
    "widened by Sidak's correction to hold for all classes at once.",
    "Macro precision, recall and F1: the confusion matrix redrawn class by class from its Dirichlet posterior "
    "(Caelen 2017; prior of one sample a class).",
    "AUC: variance from structural components (DeLong et al. 1988) of the mean over classes; logit scale.",
    "Brier score and log loss: percentile bootstrap, stratified by class.",
    "Calibration error: bootstrap within bins of equal mass, deliberately wide; its lower bound is 0 where a "
    "perfectly calibrated model would often look as bad. Temperature: Guo et al. 2017.",
    "Comparison: Tango's score interval for paired proportions (1998); of scores between 0 and 1 it is that of "
    "as many differences of their usual size as have their spread.",
    "Label suspects: confident learning, ranked by normalized margin (Northcutt et al. 2021).",
    "Intervals take the number of test samples a class as given, and the test split as a fair sample.",
)
