package metrics

// Buckets of histograms, in seconds. Those of the metrics which the Python
// product had are its own, so that dashboards and alerts go on working.
var (
	// bucketsShort suits single requests to Kafka and Temporal.
	bucketsShort = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	// bucketsWait suits waiting for a slot, from none at all to minutes.
	bucketsWait = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120, 300}
	// bucketsWindow suits whole windows, which are done in 20 ms or in hours.
	bucketsWindow = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

	bucketsTask     = []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300}
	bucketsBatch    = []float64{.5, 1, 2, 5, 10, 30, 60, 120, 300, 600}
	bucketsHook     = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30}
	bucketsSink     = []float64{.001, .005, .01, .05, .1, .5, 1, 5}
	bucketsPeriodic = []float64{.001, .01, .1, .5, 1, 5, 10, 30, 60}
)
