// Package peer lets Knative's own autoscaler decide on recorded cases, under a fake clock.
//
// It reads one JSON case a line from the file in $KNATIVE_CASES and writes one JSON answer a line to the file in
// $KNATIVE_ANSWERS. It is a test because testing/synctest is where Go has a fake clock: each case begins at midnight
// UTC of 2000-01-01 and runs in no time, though the code under it calls time.Now.
package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	asconfig "knative.dev/serving/pkg/autoscaler/config"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	kparesources "knative.dev/serving/pkg/reconciler/autoscaling/kpa/resources"
	"knative.dev/serving/pkg/reconciler/autoscaling/resources"
)

const (
	namespace = "ns"
	revision  = "rev"
)

// Spec is what a person sets: config-autoscaler's data and a revision's annotations by their short names.
type Spec struct {
	Config               map[string]string `json:"config"`
	Annotations          map[string]string `json:"annotations"`
	ContainerConcurrency int64             `json:"container_concurrency"`
	Reachable            bool              `json:"reachable"`
}

// Step is one event of a case. Times are microseconds since the case's midnight.
type Step struct {
	Do           string  `json:"do"` // record | ready | spec | scale
	TUs          int64   `json:"t_us"`
	AtUs         int64   `json:"at_us"` // record: the time that the values belong to
	Concurrency  float64 `json:"concurrency"`
	Proxied      float64 `json:"proxied"`
	Count        float64 `json:"count"`
	ProxiedCount float64 `json:"proxied_count"`
	Ready        *int    `json:"ready"` // nil: the pods cannot be listed
	Spec         *Spec   `json:"spec"`
}

// Case is a scaler's life: made at its first time with so many ready pods.
type Case struct {
	TUs   int64  `json:"t_us"`
	Ready *int   `json:"ready"`
	Spec  Spec   `json:"spec"`
	Steps []Step `json:"steps"`
}

// Resolved is what Knative makes of a Spec.
type Resolved struct {
	Target          float64 `json:"target"`
	Total           float64 `json:"total"`
	TargetBurst     float64 `json:"target_burst_capacity"`
	PanicThreshold  float64 `json:"panic_threshold_ratio"`
	StableWindowS   float64 `json:"stable_window_s"`
	PanicWindowS    float64 `json:"panic_window_s"`
	MaxUpRate       float64 `json:"max_scale_up_rate"`
	MaxDownRate     float64 `json:"max_scale_down_rate"`
	ScaleDownDelayS float64 `json:"scale_down_delay_s"`
}

// Evaluation is one decision with what it was made from.
type Evaluation struct {
	Desired   int32    `json:"desired"`
	Excess    int32    `json:"excess"`
	Valid     bool     `json:"valid"`
	Stable    *float64 `json:"stable"` // nil: no data
	Panic     *float64 `json:"panic"`
	Panicking bool     `json:"panicking"`
	Peak      int64    `json:"peak"`
}

// Answer is all that came of a case.
type Answer struct {
	Specs       []Resolved   `json:"specs"`
	Evaluations []Evaluation `json:"evaluations"`
}

type pods struct{ ready *int }

func (p *pods) ReadyCount() (int, error) {
	if p.ready == nil {
		return 0, errors.New("the pods cannot be listed")
	}
	return *p.ready, nil
}

func (p *pods) NotReadyCount() (int, error) { return 0, nil }

type peer struct {
	t         *testing.T
	start     time.Time
	key       types.NamespacedName
	collector *metrics.MetricCollector
	pods      *pods
	scaler    scaling.UniScaler
	isRPS     bool
	answer    Answer
}

func TestAnswerCases(t *testing.T) {
	in, err := os.Open(os.Getenv("KNATIVE_CASES"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(os.Getenv("KNATIVE_ANSWERS"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	written := bufio.NewWriter(out)
	defer written.Flush()
	cases, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(written)
	for cases.More() {
		var c Case
		if err := cases.Decode(&c); err != nil {
			t.Fatal(err)
		}
		var answer Answer
		synctest.Test(t, func(t *testing.T) { answer = run(t, c) })
		if err := answers.Encode(answer); err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, c Case) Answer {
	p := &peer{
		t:     t,
		start: time.Now(),
		key:   types.NamespacedName{Namespace: namespace, Name: revision},
		collector: metrics.NewMetricCollector(
			func(*v1alpha1.Metric, *zap.SugaredLogger) (metrics.StatsScraper, error) { return nil, nil },
			zap.NewNop().Sugar(),
		),
		pods: &pods{ready: c.Ready},
	}
	p.sleepUntil(c.TUs)
	decider := p.resolve(c.Spec)
	p.scaler = scaling.New(
		attribute.NewSet(), noop.NewMeterProvider(), namespace, revision, p.collector, p.pods, &decider.Spec,
	)
	for _, step := range c.Steps {
		p.take(step)
	}
	p.collector.Delete(namespace, revision)
	return p.answer
}

func (p *peer) take(step Step) {
	p.sleepUntil(step.TUs)
	switch step.Do {
	case "record":
		p.collector.Record(p.key, p.at(step.AtUs), metrics.Stat{
			PodName:                          "peer",
			AverageConcurrentRequests:        step.Concurrency,
			AverageProxiedConcurrentRequests: step.Proxied,
			RequestCount:                     step.Count,
			ProxiedRequestCount:              step.ProxiedCount,
		})
	case "ready":
		p.pods.ready = step.Ready
	case "spec":
		decider := p.resolve(*step.Spec)
		p.scaler.Update(&decider.Spec)
	case "scale":
		p.answer.Evaluations = append(p.answer.Evaluations, p.evaluate())
	default:
		p.t.Fatalf("step %q is none of record, ready, spec, scale", step.Do)
	}
}

// resolve goes the way of the reconcilers: PodAutoscaler and config to decider and Metric, whose windows it makes.
func (p *peer) resolve(spec Spec) *scaling.Decider {
	config, err := asconfig.NewConfigFromMap(spec.Config)
	if err != nil {
		p.t.Fatal(err)
	}
	pa := &v1alpha1.PodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: revision}}
	pa.Annotations = map[string]string{}
	for key, value := range spec.Annotations {
		pa.Annotations[autoscaling.GroupName+"/"+key] = value
	}
	pa.Spec.ContainerConcurrency = spec.ContainerConcurrency
	pa.Spec.Reachability = v1alpha1.ReachabilityReachable
	if !spec.Reachable {
		pa.Spec.Reachability = v1alpha1.ReachabilityUnreachable
	}
	decider := kparesources.MakeDecider(pa, config)
	scrapeTarget := revision + "-private"
	if decider.Spec.TargetBurstCapacity == -1 {
		scrapeTarget = ""
	}
	metric := resources.MakeMetric(pa, scrapeTarget, config)
	if err := p.collector.CreateOrUpdate(metric); err != nil {
		p.t.Fatal(err)
	}
	p.isRPS = decider.Spec.ScalingMetric == autoscaling.RPS
	p.answer.Specs = append(p.answer.Specs, Resolved{
		Target:          decider.Spec.TargetValue,
		Total:           decider.Spec.TotalValue,
		TargetBurst:     decider.Spec.TargetBurstCapacity,
		PanicThreshold:  decider.Spec.PanicThreshold,
		StableWindowS:   metric.Spec.StableWindow.Seconds(),
		PanicWindowS:    metric.Spec.PanicWindow.Seconds(),
		MaxUpRate:       decider.Spec.MaxScaleUpRate,
		MaxDownRate:     decider.Spec.MaxScaleDownRate,
		ScaleDownDelayS: decider.Spec.ScaleDownDelay.Seconds(),
	})
	return decider
}

func (p *peer) evaluate() Evaluation {
	now := time.Now()
	result := p.scaler.Scale(zap.NewNop().Sugar(), now)
	evaluation := Evaluation{
		Desired: result.DesiredPodCount, Excess: result.ExcessBurstCapacity, Valid: result.ScaleValid,
	}
	averages := p.collector.StableAndPanicConcurrency
	if p.isRPS {
		averages = p.collector.StableAndPanicRPS
	}
	if stable, panicking, err := averages(p.key, now); err == nil {
		evaluation.Stable, evaluation.Panic = &stable, &panicking
	}
	state := reflect.ValueOf(p.scaler).Elem()
	evaluation.Panicking = !state.FieldByName("panicTime").IsZero()
	evaluation.Peak = state.FieldByName("maxPanicPods").Int()
	return evaluation
}

func (p *peer) at(us int64) time.Time {
	return p.start.Add(time.Duration(us) * time.Microsecond)
}

func (p *peer) sleepUntil(us int64) {
	time.Sleep(time.Until(p.at(us)))
}
